// How far a job is, and how long it will take. Pure.

import { bytes, duration, percent } from "./format.js";
import { ended, rateNow } from "./store.js";

/** Bytes of input that there will be; null where nobody knows yet. */
export function totalBytes(job) {
  const { bytes_expected: expected, bytes_received: received } = job.progress;
  if (expected !== null && expected !== undefined) return expected;
  return job.state === "receiving" ? null : received;
}

/** The share of the input that is counted, from 0 to 1; null where its size is not known. */
export function share(job) {
  if (job.state === "succeeded" || job.state === "merging") return 1;
  const total = totalBytes(job);
  if (total === null) return null;
  return total > 0 ? Math.min(job.progress.bytes_counted / total, 1) : 0;
}

/** Milliseconds until all is counted; null where that can not be said. */
export function timeLeft(job) {
  const [total, rate] = [totalBytes(job), rateNow(job)];
  if (ended(job) || job.state === "merging" || job.waiting_for || total === null || rate < 1) return null;
  return ((total - job.progress.bytes_counted) / rate) * 1000;
}

/** How far it is, in words. */
export function howFar(job) {
  const { bytes_counted: counted, bytes_received: received } = job.progress;
  if (job.state === "succeeded") return bytes(received);
  if (job.state === "merging") return "writing the result";
  const part = share(job);
  if (part === null) return `${bytes(counted)} of ${bytes(received)} so far`;
  return `${percent(part)} of ${bytes(totalBytes(job))}`;
}

/** How long it has taken, or will still take, in words. */
export function howLong(job) {
  if (ended(job)) return duration(job.progress.elapsed_ms);
  if (job.state === "merging") return "a moment";
  const left = timeLeft(job);
  return left === null ? "–" : `${duration(left)} left`;
}
