-- depends: 0002.live

CREATE TABLE kept_readings (
    account_id text NOT NULL,
    communication_id text COLLATE "C" NOT NULL,
    inbox_id text NOT NULL,
    actor_id text,
    acted_at timestamptz NOT NULL,
    received_at timestamptz,
    reads_through text COLLATE "C",
    PRIMARY KEY (account_id, communication_id)
);

COMMENT ON TABLE kept_readings IS
    'What agents'' activity was decided to read, of communications that were emptied to be rebuilt: decided once (I7), it is not decided again by today''s members and settings.';
