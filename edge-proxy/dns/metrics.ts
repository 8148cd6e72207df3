/** Counts of the DNS server, by the names that Istio's agent has (pkg/dns/client/monitoring.go). */

/** Upper bounds of the buckets of durations, seconds. */
const BUCKETS = [0.001, 0.005, 0.01, 0.1, 1, 5];
const PREFIX = 'istio_agent_dns';

export class DnsMetrics {
  requests = 0;
  upstreamRequests = 0;
  /** Answered with SERVFAIL by this server. */
  failures = 0;
  upstreamFailures = 0;
  private readonly buckets: number[] = BUCKETS.map(() => 0);
  private sum = 0;
  private count = 0;

  observeUpstream(seconds: number): void {
    this.count += 1;
    this.sum += seconds;
    const at = BUCKETS.findIndex((bound) => seconds <= bound);
    if (at >= 0) this.buckets[at]! += 1;
  }

  /** Prometheus' text exposition. */
  exposition(): string {
    const counter = (name: string, help: string, value: number) =>
      `# HELP ${PREFIX}_${name} ${help}\n# TYPE ${PREFIX}_${name} counter\n${PREFIX}_${name} ${value}\n`;
    return (
      counter('requests_total', 'DNS queries that were received.', this.requests) +
      counter('failures_total', 'DNS queries that were answered with SERVFAIL for want of an answer.', this.failures) +
      counter('upstream_requests_total', 'DNS queries that upstream servers were asked.', this.upstreamRequests) +
      counter('upstream_failures_total', 'Attempts at an upstream server without an answer.', this.upstreamFailures) +
      this.durations()
    );
  }

  private durations(): string {
    const name = `${PREFIX}_upstream_request_duration_seconds`;
    let below = 0;
    const lines = BUCKETS.map((bound, i) => {
      below += this.buckets[i]!;
      return `${name}_bucket{le="${bound}"} ${below}\n`;
    });
    return (
      `# HELP ${name} Time until upstream servers had answered.\n# TYPE ${name} histogram\n${lines.join('')}` +
      `${name}_bucket{le="+Inf"} ${this.count}\n${name}_sum ${this.sum}\n${name}_count ${this.count}\n`
    );
  }
}
