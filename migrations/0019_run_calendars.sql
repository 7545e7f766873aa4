-- migrate: compatible from 11
-- Quotas of runs a minute: what each coming minute of a namespace has been given.

-- One row a namespace that has such a quota: from the minute `first` on (minutes since 1970), how many
-- runs are to begin in each, and how many of them are of the past. No index but the key, and room in
-- the page, for it is written by each claim of such a namespace.
CREATE TABLE run_calendars (
    namespace text      PRIMARY KEY,
    first     bigint    NOT NULL,
    given     integer[] NOT NULL,
    past      integer[] NOT NULL,
    CHECK (cardinality(given) = cardinality(past))
) WITH (fillfactor = 50);
