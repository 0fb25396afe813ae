-- Ids are compared byte by byte everywhere: locks are taken in that order, by Python and by Postgres alike.

CREATE TABLE communications (
    account_id text COLLATE "C" NOT NULL,
    communication_id text COLLATE "C" NOT NULL,
    -- Kind, facts and decisions as one JSON document: text, because Postgres never looks inside. Beside it
    -- stands only what a statement looks for; null is cheapest, so most of it is null most of the time.
    document text,
    inbox_id text COLLATE "C",
    version bigint NOT NULL DEFAULT 0,
    touched_at timestamptz,
    -- When a timer has to look at it: a request's expiry, or the hour at which an open call is a ghost (M4).
    due_at timestamptz,
    -- Whom this call keeps from being rung (R5).
    talking text[],
    -- The command of a request that telephony has not reported on yet.
    command_id text COLLATE "C",
    -- Of what is unrouted (R3): the line that it came in on, and its activity.
    unrouted_line text COLLATE "C",
    unrouted_at timestamptz,
    PRIMARY KEY (account_id, communication_id)
) WITH (fillfactor = 80);

CREATE INDEX communications_due ON communications (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX communications_unrouted ON communications (account_id, unrouted_line, communication_id)
    WHERE unrouted_line IS NOT NULL;
CREATE INDEX communications_talking ON communications (account_id) WHERE talking IS NOT NULL;
CREATE INDEX communications_by_command ON communications (account_id, command_id) WHERE command_id IS NOT NULL;

-- Telephony systems that said no to a command, by its id: the request may reach us later than the refusal.
CREATE TABLE refusals (
    account_id text COLLATE "C" NOT NULL,
    command_id text COLLATE "C" NOT NULL,
    time timestamptz NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    appended_at timestamptz NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (account_id, command_id)
);

CREATE TABLE presences (
    account_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    status text NOT NULL,
    time timestamptz NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, user_id)
);

-- The memory of round robin: whom each layer of an inbox (by its place) headed last, and when.
CREATE TABLE ring_heads (
    account_id text COLLATE "C" NOT NULL,
    inbox_id text COLLATE "C" NOT NULL,
    place integer NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    last_headed_at bigint NOT NULL DEFAULT -1,
    PRIMARY KEY (account_id, inbox_id, place, user_id)
);

-- The memory of longest idle: when each user last ended a talk, in microseconds since 1970.
CREATE TABLE talks (
    account_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    ended_at bigint NOT NULL,
    PRIMARY KEY (account_id, user_id)
);

-- Lines (or '' for a whole account) whose unrouted communications are to be decided again (R3).
CREATE TABLE reroutes (
    account_id text COLLATE "C" NOT NULL,
    line_number text COLLATE "C" NOT NULL,
    done_through text COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (account_id, line_number)
);
