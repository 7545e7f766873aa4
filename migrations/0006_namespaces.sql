-- Namespaces: what all jobs of one have in common, as a resource of its own.

-- One row a namespace that has settings; jobs of others go by the operator's rules alone. The
-- settings are what a client sent, judged and in normal form.
CREATE TABLE namespaces (
    name       text        PRIMARY KEY,
    settings   json        NOT NULL,
    revision   integer     NOT NULL CHECK (revision > 0),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
