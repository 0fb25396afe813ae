-- depends: 0001.inbox-state

CREATE TABLE live_changes (
    changed_in bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    account_id text NOT NULL,
    inbox_id text,
    changes text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE live_changes IS
    'What changed, for the open streams: see inbox_state.live. Rows are added by whoever changes something, and pruned.';
COMMENT ON COLUMN live_changes.changed_in IS
    'The transaction that changed it. Serial ids commit out of order; a snapshot says exactly which transactions it sees.';
COMMENT ON COLUMN live_changes.inbox_id IS 'Null where it concerns the whole account.';

-- What no reader has seen yet.
CREATE INDEX live_changes_in_order ON live_changes (changed_in);
-- What a client missed while it was away.
CREATE INDEX live_changes_of_account ON live_changes (account_id, changed_in);

CREATE TABLE live_floor (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    whole_from bigint NOT NULL
);

COMMENT ON COLUMN live_floor.whole_from IS 'Nothing of this transaction and later ones was pruned.';

INSERT INTO live_floor (whole_from) VALUES (pg_current_xact_id()::text::bigint);

CREATE TABLE stream_tickets (
    digest bytea PRIMARY KEY,
    account_id text NOT NULL,
    user_id text NOT NULL,
    token_expires_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);

COMMENT ON COLUMN stream_tickets.digest IS 'Of the ticket, so that nobody who reads this table can use one.';
