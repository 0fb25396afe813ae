-- One login role and one schema per service, closed to everybody else (A5). Safe to run again.
--
-- A psql script, run in the database that the services share, as a superuser:
--   embedded stack and tests: devstack.postgres.create_service_roles
--   docker-compose:           /docker-entrypoint-initdb.d/
-- The passwords come from the environment, so that they stand in no command line and no file.

\set ON_ERROR_STOP on
\getenv routing_password ROUTING_DATABASE_PASSWORD
\getenv inbox_state_password INBOX_STATE_DATABASE_PASSWORD
\getenv notification_password NOTIFICATION_DATABASE_PASSWORD
\getenv reporting_password REPORTING_DATABASE_PASSWORD

BEGIN;

-- Two stacks that share a server must not create the same role at once.
SELECT pg_advisory_xact_lock(hashtext('connected_inbox_service_roles')) \g /dev/null

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
REVOKE ALL ON SCHEMA public FROM PUBLIC;

-- Each column is a statement, run from left to right; a NULL is skipped.
SELECT
    CASE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = service)
         THEN format('CREATE ROLE %I', service) END,
    format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %L', service, password),
    format('GRANT CONNECT, TEMPORARY ON DATABASE %I TO %I', current_database(), service),
    format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', service, service),
    format('REVOKE ALL ON SCHEMA %I FROM PUBLIC', service)
FROM (VALUES
    ('routing', :'routing_password'),
    ('inbox_state', :'inbox_state_password'),
    ('notification', :'notification_password'),
    ('reporting', :'reporting_password')
) AS services (service, password)
\gexec

COMMIT;
