INSERT INTO call_recordings BY NAME
SELECT
    unnest($days::DATE[]) AS day,
    unnest($model_ids::VARCHAR[]) AS model_id,
    unnest($call_ids::VARCHAR[]) AS call_id,
    unnest($locations::VARCHAR[]) AS location,
    unnest($content_types::VARCHAR[]) AS content_type,
    unnest($sizes::BIGINT[]) AS size_bytes,
    unnest($checksums::VARCHAR[]) AS sha256,
    unnest($requests::BIGINT[]) AS requests,
    $loaded_at::TIMESTAMPTZ AS loaded_at
