#!/bin/sh
# A job of Snakemake as a Job of Kubernetes: submit.sh CPUS MEMORY_MB GPUS MINUTES SCRIPT; prints the Job's name.
set -eu
gpus=""
[ "$3" = 0 ] || gpus="nvidia.com/gpu: $3, "
kubectl create --output name --filename - <<JOB
apiVersion: batch/v1
kind: Job
metadata:
  generateName: lvistk-
spec:
  backoffLimit: 0
  activeDeadlineSeconds: $(($4 * 60))
  ttlSecondsAfterFinished: 86400
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 120
      containers:
        - name: lvistk
          image: ${LVISTK_IMAGE:-lvistk:0.2.0}
          workingDir: $(pwd)
          command: [sh, $(realpath "$5")]
          resources:
            limits: {${gpus}cpu: $1, memory: ${2}M}
          volumeMounts:
            - {name: data, mountPath: ${LVISTK_MOUNT:-/data}}
            - {name: shm, mountPath: /dev/shm}
      volumes:
        - name: data
          persistentVolumeClaim: {claimName: ${LVISTK_CLAIM:-data}}
        - name: shm
          emptyDir: {medium: Memory}
JOB
