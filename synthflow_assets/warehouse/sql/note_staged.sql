-- What most statements need of the staged records. Planning the whole records takes longer than reading a day of them.
CREATE OR REPLACE TEMP TABLE staged AS
SELECT filename, file_row_number, day, model_id, call_id, reason, listed_day
FROM ({staged})
