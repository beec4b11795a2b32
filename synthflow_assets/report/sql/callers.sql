-- Distinct callers of the days that the page shows. They do not add up over days or agents, so the page has them as a whole.
SELECT callers, reached_callers, new_callers
FROM caller_summary(
    $from_day, $to_day, condition := model_id IN (SELECT agent_numbers.model_id FROM agent_numbers)
)
