-- depends: 0001.notification

-- The trace in which a communication came and its e-mail goes (W3C Trace Context), where it is traced.
ALTER TABLE communications ADD COLUMN traceparent text;
ALTER TABLE emails ADD COLUMN traceparent text;
