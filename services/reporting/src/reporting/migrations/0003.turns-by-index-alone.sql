-- A message's neighbours in its conversation are read from the index alone: in a large account their rows lie apart.
DROP INDEX communications_by_turn;

CREATE INDEX communications_by_turn
    ON communications (account_id, inbox_id, contact_number, turn_at, communication_id) INCLUDE (turn, user_id)
    WHERE turn IS NOT NULL;
