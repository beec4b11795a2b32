-- The agents of a page by their number, which other queries join with.
CREATE OR REPLACE TEMP TABLE agent_numbers AS
SELECT unnest($model_ids::VARCHAR[]) AS model_id, generate_subscripts($model_ids::VARCHAR[], 1) - 1 AS agent
