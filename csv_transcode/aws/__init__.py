"""What a backfill asks of AWS beside S3: Step Functions, CloudFormation and Lambda."""
