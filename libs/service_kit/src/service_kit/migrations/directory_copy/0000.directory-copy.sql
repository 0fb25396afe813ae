CREATE TABLE directory_entities (
    account_id text NOT NULL,
    entity text NOT NULL,
    id text NOT NULL,
    version bigint NOT NULL,
    deleted boolean NOT NULL,
    document jsonb NOT NULL,
    PRIMARY KEY (account_id, entity, id)
);

CREATE TABLE directory_ties (
    account_id text NOT NULL,
    user_id text NOT NULL,
    inbox_id text NOT NULL,
    access text NOT NULL CHECK (access IN ('personal', 'connected', 'watching')),
    watching_since timestamptz,
    PRIMARY KEY (account_id, user_id, inbox_id)
);

CREATE INDEX directory_ties_by_inbox ON directory_ties (account_id, inbox_id);
