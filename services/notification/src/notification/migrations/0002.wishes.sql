-- What a watcher set for himself (N6).
CREATE TABLE notification_preferences (
    account_id text NOT NULL,
    user_id text NOT NULL,
    muted_inbox_ids text[] NOT NULL,
    quiet_from time,
    quiet_to time,
    PRIMARY KEY (account_id, user_id)
);

CREATE TABLE unsubscriptions (
    account_id text NOT NULL,
    user_id text NOT NULL,
    inbox_id text NOT NULL,
    topic text NOT NULL CHECK (topic IN ('watcher_emails', 'daily_activity', 'voice_analytics')),
    at timestamptz NOT NULL,
    PRIMARY KEY (account_id, user_id, inbox_id, topic)
);

ALTER TABLE digest_windows ADD COLUMN since timestamptz;

-- What the mail server was slow with or put off: it is tried again beside the others, not before them.
ALTER TABLE emails ADD COLUMN slow boolean NOT NULL DEFAULT false;
ALTER TABLE emails DROP CONSTRAINT emails_outcome_check;
ALTER TABLE emails ADD CONSTRAINT emails_outcome_check
    CHECK (outcome IN ('sent', 'refused', 'expired', 'withdrawn', 'muted', 'unsubscribed'));

CREATE INDEX emails_slow ON emails (account_id, user_id) WHERE outcome IS NULL AND slow;
CREATE INDEX emails_unfinished_of_user ON emails (account_id, user_id) WHERE outcome IS NULL AND purpose = 'digest';

-- How much each mail server may be given now, where it takes only so much.
CREATE TABLE sending_rates (
    server text PRIMARY KEY,
    left_over double precision,
    counted_at timestamptz
);
