-- depends: 0002.live

-- What telephony calls a contact, kept with the thread: a reply without a name must not hide it.
ALTER TABLE threads
    ADD COLUMN contact_name text,
    ADD COLUMN named_at timestamptz,
    ADD COLUMN named_id text COLLATE "C",
    ADD COLUMN unread_marks text;

COMMENT ON COLUMN threads.contact_name IS
    'The name in the latest communication that has one: named_id, whose activity was at named_at.';
COMMENT ON COLUMN threads.unread_marks IS
    'The manual unreads that still matter, as JSON [{"at", "from"}], oldest first: see read_state.UnreadMark.';

UPDATE threads SET unread_marks = json_build_array(
    json_build_object('at', marked_unread_at, 'from', marked_unread_from)
)::text
WHERE marked_unread_at IS NOT NULL AND marked_unread_from IS NOT NULL;

ALTER TABLE threads DROP COLUMN marked_unread_at, DROP COLUMN marked_unread_from;

UPDATE threads AS t SET contact_name = named.name, named_at = named.activity_at, named_id = named.communication_id
FROM (
    SELECT DISTINCT ON (account_id, thread_id)
        account_id, thread_id, activity_at, communication_id, document::jsonb ->> 'contact_name' AS name
    FROM communications
    WHERE document::jsonb ->> 'contact_name' IS NOT NULL
    ORDER BY account_id, thread_id, activity_at DESC, communication_id DESC
) AS named
WHERE t.account_id = named.account_id AND t.thread_id = named.thread_id;

-- Search stands in tables of its own, which only what search finds things by changes: a thread's row is written
-- again with nearly every record, and each time with an entry in every index.
CREATE TABLE searchable_threads (
    account_id text NOT NULL,
    thread_id text COLLATE "C" NOT NULL,
    inbox_id text NOT NULL,
    number text COLLATE "C" NOT NULL,
    words text,
    PRIMARY KEY (account_id, thread_id)
);

COMMENT ON COLUMN searchable_threads.number IS 'The contact''s number in lower case.';
COMMENT ON COLUMN searchable_threads.words IS
    'What telephony calls the contact, as searching.words_of; a name that somebody gave stands in contacts.';

CREATE TABLE searchable_texts (
    account_id text NOT NULL,
    communication_id text COLLATE "C" NOT NULL,
    words text NOT NULL,
    PRIMARY KEY (account_id, communication_id)
);

COMMENT ON TABLE searchable_texts IS
    'What was written, or said to the voicemail: the beginning of it, as searching.words_of.';

ALTER TABLE contacts ADD COLUMN words text NOT NULL DEFAULT '';

COMMENT ON COLUMN contacts.words IS 'The name, as searching.words_of.';

INSERT INTO searchable_threads (account_id, thread_id, inbox_id, number, words)
SELECT account_id, thread_id, inbox_id, lower(contact_number),
       btrim(lower(regexp_replace(contact_name, '[^[:alnum:]]+', ' ', 'g')))
FROM threads;

INSERT INTO searchable_texts (account_id, communication_id, words)
SELECT account_id, communication_id, said.words
FROM communications
CROSS JOIN LATERAL (
    SELECT left(btrim(lower(regexp_replace(
        concat_ws(' ', document::jsonb ->> 'body', document::jsonb #>> '{voicemail,transcript}'),
        '[^[:alnum:]]+', ' ', 'g'
    ))), 10000) AS words
) AS said
WHERE thread_id IS NOT NULL AND said.words <> '';

UPDATE contacts SET words = btrim(lower(regexp_replace(name, '[^[:alnum:]]+', ' ', 'g')));

-- Numbers by their beginning, and by their last digits.
CREATE INDEX searchable_threads_number ON searchable_threads (account_id, inbox_id, number);
CREATE INDEX searchable_threads_ending ON searchable_threads (account_id, inbox_id, reverse(number));
-- Names and texts by their words; the account is a word too, so that other accounts' rows are not visited.
CREATE INDEX searchable_threads_words ON searchable_threads USING gin (
    (to_tsvector('pg_catalog.simple', words) || array_to_tsvector(ARRAY[E'\x01' || account_id]))
) WHERE words IS NOT NULL;
CREATE INDEX contacts_words ON contacts USING gin (
    (to_tsvector('pg_catalog.simple', words) || array_to_tsvector(ARRAY[E'\x01' || account_id]))
);
CREATE INDEX searchable_texts_words ON searchable_texts USING gin (
    (to_tsvector('pg_catalog.simple', words) || array_to_tsvector(ARRAY[E'\x01' || account_id]))
);

ALTER TABLE communications ADD COLUMN failed boolean;

UPDATE communications SET failed = document::jsonb ->> 'status' IN ('failed', 'undelivered')
WHERE thread_id IS NOT NULL;

-- What failed: few rows of a list.
CREATE INDEX communications_failed ON communications (account_id, inbox_id, active, activity_at, communication_id)
    WHERE failed;
CREATE INDEX threads_send_failed ON threads (account_id, inbox_id, active, last_activity_at, thread_id)
    WHERE send_failed;

-- Which requests are old enough to be forgotten.
CREATE INDEX requests_in_order ON requests (requested_at);
