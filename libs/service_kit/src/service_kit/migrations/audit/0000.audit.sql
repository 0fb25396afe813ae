-- Every administrative change, kept for good. Ids are UUIDv7, so they sort by time.
CREATE TABLE audit (
    account_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    by text COLLATE "C" NOT NULL,
    action text NOT NULL,
    entity text COLLATE "C" NOT NULL,
    entity_id text COLLATE "C" NOT NULL,
    before jsonb,
    after jsonb,
    PRIMARY KEY (account_id, id)
);

CREATE INDEX audit_of_entity ON audit (account_id, entity, entity_id, id);
