-- Through which append time each input partition has been read, by whichever replica owned it.
CREATE TABLE input_progress (
    topic text NOT NULL,
    partition integer NOT NULL,
    complete_through timestamptz NOT NULL,
    PRIMARY KEY (topic, partition)
);
