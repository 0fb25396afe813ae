ALTER TABLE communications
    ADD COLUMN contact_name text,
    ADD COLUMN held_seconds double precision NOT NULL DEFAULT 0;

CREATE TABLE contact_names (
    account_id text NOT NULL,
    contact_number text NOT NULL,
    name text NOT NULL,
    named_at timestamptz NOT NULL,
    event_id text NOT NULL,
    PRIMARY KEY (account_id, contact_number)
);

-- What our own analyser has to read (transcript) or has found (analysed_at); the text goes once it is read.
CREATE TABLE own_analyses (
    account_id text NOT NULL,
    communication_id text NOT NULL,
    version bigint NOT NULL,
    rank smallint NOT NULL,
    digest bytea NOT NULL,
    transcript text,
    language text,
    analysed_at timestamptz,
    sentiment_label text,
    sentiment_score double precision,
    topics jsonb,
    PRIMARY KEY (account_id, communication_id)
);

CREATE INDEX own_analyses_waiting ON own_analyses (account_id, communication_id) WHERE transcript IS NOT NULL;

-- Calls of which something was found out, by telephony or else by us.
CREATE VIEW analysed_calls AS
SELECT
    c.account_id, c.communication_id, c.inbox_id, c.line_number, c.user_id, c.direction, c.status, c.started_at,
    c.contact_number, coalesce(nullif(n.name, ''), c.contact_name) AS contact_name, c.talk_seconds, c.held_seconds,
    coalesce(a.sentiment_label, o.sentiment_label) AS sentiment_label,
    coalesce(a.sentiment_score, o.sentiment_score) AS sentiment_score,
    coalesce(a.topics, o.topics) AS topics,
    a.summary, a.agent_seconds, a.contact_seconds,
    (a.sentiment_label IS NULL AND o.sentiment_label IS NOT NULL)
        OR (a.topics IS NULL AND o.topics IS NOT NULL) AS is_by_us
FROM communications c
LEFT JOIN analyses a ON a.account_id = c.account_id AND a.communication_id = c.communication_id
LEFT JOIN own_analyses o ON o.account_id = c.account_id AND o.communication_id = c.communication_id
LEFT JOIN contact_names n ON n.account_id = c.account_id AND n.contact_number = c.contact_number
WHERE c.kind = 'call' AND (
    a.summary IS NOT NULL OR a.sentiment_label IS NOT NULL OR a.topics IS NOT NULL OR a.agent_seconds IS NOT NULL
    OR o.sentiment_label IS NOT NULL OR o.topics IS NOT NULL
);

-- Where voice analytics was chosen before it was made, it begins with the next daily report.
INSERT INTO schedules (account_id, inbox_id, kind, next_date, due_at, read_through)
SELECT s.account_id, s.inbox_id, 'voice_analytics', s.next_date, s.due_at, s.read_through
FROM schedules s
JOIN report_notifications n ON n.account_id = s.account_id AND n.inbox_id = s.inbox_id
WHERE s.kind = 'daily_activity' AND n.enabled AND 'voice_analytics' = ANY (n.reports)
ON CONFLICT DO NOTHING;
