-- Ids and positions compare byte by byte ("C"), as Python compares them: pages and read marks depend on it.

CREATE TABLE communications (
    account_id text NOT NULL,
    communication_id text COLLATE "C" NOT NULL,
    version bigint,
    thread_id text COLLATE "C",
    left_thread_id text COLLATE "C",
    inbox_id text,
    line_number text,
    kind text,
    active boolean,
    activity_at timestamptz,
    received_at timestamptz,
    wants_attention boolean,
    position text COLLATE "C",
    actor_id text,
    acted_at timestamptz,
    reads_through text COLLATE "C",
    delivered boolean,
    document text,
    PRIMARY KEY (account_id, communication_id)
);

COMMENT ON TABLE communications IS
    'The newest snapshot of every call and message. A row without thread_id is a key that a running transaction locked.';
COMMENT ON COLUMN communications.position IS
    'Where it stands among what reached us: see read_state.position_of.';
COMMENT ON COLUMN communications.reads_through IS
    'Through which position the agent''s activity in it reads the thread; null when it reads nothing.';
COMMENT ON COLUMN communications.left_thread_id IS
    'The thread it stood in before it moved, so that a batch that comes again publishes that one again as well.';
COMMENT ON COLUMN communications.delivered IS
    'How an agent''s text ended: true sent, false failed, null not known yet or no text of an agent.';

-- A thread newest first, and its latest communication.
CREATE INDEX communications_of_thread ON communications (account_id, thread_id, activity_at, communication_id)
    WHERE thread_id IS NOT NULL;
-- The unthreaded list of an inbox.
CREATE INDEX communications_of_inbox ON communications (account_id, inbox_id, active, activity_at, communication_id)
    WHERE thread_id IS NOT NULL;
-- What may be unread in a thread, beyond its read mark.
CREATE INDEX communications_wanting_attention ON communications (account_id, thread_id, position)
    WHERE wants_attention;
-- The activity that reads a thread the furthest.
CREATE INDEX communications_that_read ON communications (account_id, thread_id, reads_through)
    WHERE reads_through IS NOT NULL;
-- The agent's last text in a thread whose end is known.
CREATE INDEX communications_sent ON communications (account_id, thread_id, activity_at, communication_id)
    WHERE delivered IS NOT NULL;
-- The active calls of a thread: few rows at any time.
CREATE INDEX communications_active ON communications (account_id, thread_id)
    WHERE active;

CREATE TABLE threads (
    account_id text NOT NULL,
    thread_id text COLLATE "C" NOT NULL,
    inbox_id text NOT NULL,
    contact_number text NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    unread integer NOT NULL DEFAULT 0,
    active_calls integer NOT NULL DEFAULT 0,
    active boolean NOT NULL GENERATED ALWAYS AS (active_calls > 0) STORED,
    last_activity_at timestamptz,
    latest_id text COLLATE "C",
    send_failed boolean NOT NULL DEFAULT false,
    read_through text COLLATE "C" NOT NULL DEFAULT '',
    settled_through text COLLATE "C" NOT NULL DEFAULT '',
    marked_unread_at timestamptz,
    marked_unread_from text COLLATE "C",
    auto_read_through timestamptz,
    newest_attention text COLLATE "C" NOT NULL DEFAULT '',
    unread_since timestamptz,
    PRIMARY KEY (account_id, thread_id)
);

COMMENT ON COLUMN threads.read_through IS 'The read mark: the later of settled_through and what agents'' activity reads.';
COMMENT ON COLUMN threads.settled_through IS 'The read mark as people set it by hand.';
COMMENT ON COLUMN threads.newest_attention IS 'The newest position of what may be unread here.';
COMMENT ON COLUMN threads.unread_since IS 'No unread communication here became unread before this; null when none is unread.';

-- The threaded list of an inbox, with what has an active call on top.
CREATE INDEX threads_of_inbox ON threads (account_id, inbox_id, active, last_activity_at, thread_id)
    WHERE latest_id IS NOT NULL;
-- The same with only what is unread; the panel's counts.
CREATE INDEX threads_unread ON threads (account_id, inbox_id, active, last_activity_at, thread_id)
    INCLUDE (unread)
    WHERE unread > 0;
-- What auto-mark finds too old.
CREATE INDEX threads_unread_since ON threads (account_id, inbox_id, unread_since)
    WHERE unread > 0;

CREATE TABLE automations (
    account_id text NOT NULL,
    inbox_id text NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL,
    auto_mark_enabled boolean NOT NULL,
    auto_mark_after_hours integer NOT NULL,
    manual_mark_as_read_only boolean NOT NULL,
    PRIMARY KEY (account_id, inbox_id, changed_at)
);

COMMENT ON TABLE automations IS
    'Every setting that was ever in force: the one at the time of an activity decides what it reads (I8).';

CREATE TABLE inbox_read_states (
    account_id text NOT NULL,
    inbox_id text NOT NULL,
    auto_read_through timestamptz,
    PRIMARY KEY (account_id, inbox_id)
);

COMMENT ON COLUMN inbox_read_states.auto_read_through IS
    'What became unread no later than this is read (I9). It only ever grows.';

CREATE TABLE contacts (
    account_id text NOT NULL,
    contact_number text NOT NULL,
    name text NOT NULL,
    named_at timestamptz NOT NULL,
    named_by text NOT NULL,
    PRIMARY KEY (account_id, contact_number)
);

CREATE TABLE preferences (
    account_id text NOT NULL,
    user_id text NOT NULL,
    view text NOT NULL CHECK (view IN ('threaded', 'unthreaded')),
    PRIMARY KEY (account_id, user_id)
);

CREATE TABLE requests (
    account_id text NOT NULL,
    user_id text NOT NULL,
    idempotency_key text NOT NULL,
    digest bytea NOT NULL,
    communication_id text COLLATE "C" NOT NULL,
    answer text,
    requested_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, user_id, idempotency_key)
);
