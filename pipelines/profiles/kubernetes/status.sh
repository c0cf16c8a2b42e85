#!/bin/sh
# How the Job of Kubernetes $1 is, in Snakemake's words: success, failed (also: it is gone), or running.
# A cluster that does not answer says nothing about the job: Snakemake asks again.
show='jsonpath={.status.succeeded}/{.status.failed}'
state=$(kubectl get "$1" --ignore-not-found --output "$show") || state=/
case $state in
  1/*) echo success ;;
  "" | */[1-9]*) echo failed ;;
  *) echo running ;;
esac
