CREATE TABLE watcher_settings (
    account_id text NOT NULL,
    inbox_id text NOT NULL,
    enabled boolean NOT NULL,
    events text[] NOT NULL,
    digest_minutes integer NOT NULL,
    turned_on jsonb NOT NULL,
    PRIMARY KEY (account_id, inbox_id)
);

CREATE TABLE contact_names (
    account_id text NOT NULL,
    contact_number text NOT NULL,
    name text NOT NULL,
    named_at timestamptz NOT NULL,
    event_id text NOT NULL,
    PRIMARY KEY (account_id, contact_number)
);

-- The newest snapshot of every inbound communication that is young enough to be told of (N3).
CREATE TABLE communications (
    account_id text NOT NULL,
    communication_id text NOT NULL,
    version bigint NOT NULL,
    inbox_id text NOT NULL,
    snapshot jsonb NOT NULL,
    unread boolean NOT NULL,
    waits_from timestamptz NOT NULL,
    origin_at timestamptz,
    evaluate_at timestamptz,
    kept_until timestamptz NOT NULL,
    PRIMARY KEY (account_id, communication_id)
);

CREATE INDEX communications_to_evaluate ON communications (evaluate_at) WHERE evaluate_at IS NOT NULL;
CREATE INDEX communications_unread ON communications (account_id, inbox_id) WHERE unread;
CREATE INDEX communications_to_forget ON communications (kept_until);

-- What changed in the directory or the settings, until the communications that it concerns are looked at again.
CREATE TABLE re_evaluations (
    account_id text NOT NULL,
    entity text NOT NULL CHECK (entity IN ('inbox', 'user')),
    id text NOT NULL,
    asked bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (account_id, entity, id)
);

CREATE TABLE digest_windows (
    account_id text NOT NULL,
    inbox_id text NOT NULL,
    user_id text NOT NULL,
    ends_at timestamptz,
    holds boolean NOT NULL DEFAULT false,
    PRIMARY KEY (account_id, inbox_id, user_id)
);

CREATE TABLE emails (
    account_id text NOT NULL,
    email_id text NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('watcher', 'digest', 'report')),
    inbox_id text NOT NULL,
    user_id text NOT NULL,
    report jsonb,
    report_kind text,
    report_date text,
    queued_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    measured_from timestamptz,
    next_attempt_at timestamptz NOT NULL,
    locked_until timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    outcome text CHECK (outcome IN ('sent', 'refused', 'expired', 'withdrawn')),
    detail text,
    finished_at timestamptz,
    PRIMARY KEY (account_id, email_id)
);

CREATE INDEX emails_to_send ON emails (next_attempt_at) WHERE outcome IS NULL;
CREATE INDEX emails_unfinished ON emails (due_at) WHERE outcome IS NULL;
CREATE INDEX emails_of_inbox ON emails (account_id, inbox_id, queued_at DESC, email_id DESC);
CREATE INDEX emails_to_forget ON emails (finished_at) WHERE outcome IS NOT NULL;

-- Who was told of what: one row under (account, communication, user), ever (N2).
CREATE TABLE notices (
    account_id text NOT NULL,
    communication_id text NOT NULL,
    user_id text NOT NULL,
    kind text NOT NULL,
    email_id text NOT NULL,
    snapshot jsonb NOT NULL,
    PRIMARY KEY (account_id, communication_id, user_id),
    FOREIGN KEY (account_id, email_id) REFERENCES emails ON DELETE CASCADE
);

CREATE INDEX notices_of_email ON notices (account_id, email_id);
