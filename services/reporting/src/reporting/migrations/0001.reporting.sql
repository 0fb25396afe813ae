CREATE TABLE communications (
    account_id text NOT NULL,
    communication_id text NOT NULL,
    version bigint NOT NULL,
    inbox_id text NOT NULL,
    line_number text NOT NULL,
    contact_number text NOT NULL,
    thread_id uuid,
    kind text NOT NULL,
    direction text NOT NULL,
    status text NOT NULL,
    user_id text,
    started_at timestamptz NOT NULL,
    answered_at timestamptz,
    wait_seconds double precision,
    talk_seconds double precision,
    talk_shares jsonb,
    turn text CHECK (turn IN ('contact', 'agent')),
    turn_at timestamptz,
    unread_at timestamptz,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, communication_id)
);

CREATE INDEX communications_by_start ON communications (account_id, inbox_id, started_at);

CREATE INDEX communications_by_turn
    ON communications (account_id, inbox_id, contact_number, turn_at, communication_id)
    WHERE turn IS NOT NULL;

CREATE INDEX communications_by_thread
    ON communications (account_id, thread_id, received_at, communication_id)
    WHERE unread_at IS NOT NULL;

CREATE INDEX communications_by_lateness
    ON communications (account_id, inbox_id, unread_at)
    WHERE received_at - unread_at > interval '1 hour';

CREATE TABLE analyses (
    account_id text NOT NULL,
    communication_id text NOT NULL,
    version bigint NOT NULL,
    summary text,
    sentiment_label text,
    sentiment_score double precision,
    topics jsonb,
    agent_seconds double precision,
    contact_seconds double precision,
    transcript text,
    language text,
    PRIMARY KEY (account_id, communication_id)
);

CREATE TABLE threads (
    account_id text NOT NULL,
    thread_id uuid NOT NULL,
    PRIMARY KEY (account_id, thread_id)
);

CREATE TABLE thread_unreads (
    account_id text NOT NULL,
    thread_id uuid NOT NULL,
    version bigint NOT NULL,
    inbox_id text NOT NULL,
    unread integer NOT NULL,
    changed_at timestamptz NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (account_id, thread_id, version)
);

CREATE INDEX thread_unreads_by_end ON thread_unreads (account_id, inbox_id, until) WHERE unread > 0;

CREATE TABLE report_notifications (
    account_id text NOT NULL,
    inbox_id text NOT NULL,
    enabled boolean NOT NULL,
    reports text[] NOT NULL,
    recipients text[] NOT NULL,
    lines text[],
    users text[],
    teams text[],
    send_at time NOT NULL,
    PRIMARY KEY (account_id, inbox_id)
);

CREATE TABLE schedules (
    account_id text NOT NULL,
    inbox_id text NOT NULL,
    kind text NOT NULL,
    next_date date NOT NULL,
    due_at timestamptz NOT NULL,
    read_through timestamptz NOT NULL,
    PRIMARY KEY (account_id, inbox_id, kind)
);

CREATE INDEX schedules_by_due ON schedules (due_at);

CREATE TABLE asked_reports (
    account_id text NOT NULL,
    inbox_id text NOT NULL,
    kind text NOT NULL,
    date date NOT NULL,
    asked_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, inbox_id, kind, date)
);

CREATE TABLE report_emails (
    account_id text NOT NULL,
    inbox_id text NOT NULL,
    kind text NOT NULL,
    date date NOT NULL,
    user_id text NOT NULL,
    email_id uuid NOT NULL,
    requested_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, inbox_id, kind, date, user_id)
);
