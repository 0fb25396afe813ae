-- One row per account, locked by whoever changes its directory; readers compare the number to know what is stale.
CREATE TABLE directory_revisions (
    account_id text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL DEFAULT 0
);

-- Everything an account has, the deleted as well: a version continues after re-creation.
CREATE TABLE directory_records (
    account_id text COLLATE "C" NOT NULL,
    entity text COLLATE "C" NOT NULL CHECK (entity IN ('account', 'user', 'team', 'line', 'inbox')),
    id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    deleted boolean NOT NULL,
    document jsonb NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, entity, id)
);
