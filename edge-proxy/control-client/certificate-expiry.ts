/** What the life of the workload's certificate means for readiness and metrics. */
import type { Identity } from './identity-store.ts';

type Held = Pick<Identity, 'spiffeId' | 'notAfter'>;

const DAY_SECONDS = 86_400;

/**
 * Why the proxy cannot serve, with the remedy: without a valid certificate every mTLS connection fails, in both directions.
 * @param now milliseconds since the epoch
 * @returns undefined while the certificate is valid
 */
export function expiryFailure(held: Held | undefined, now: number): string | undefined {
  if (!held || now <= held.notAfter) return undefined;
  const since = new Date(held.notAfter).toISOString();
  return `CERTIFICATE_EXPIRED: ${held.spiffeId} expired at ${since}; it is renewed once the control plane is reached, unless the log says why not`;
}

/**
 * Istio's and Envoy's gauges, so that their alerts work: seconds that are left (negative: expired), and whole days.
 * @param now milliseconds since the epoch
 */
export function expiryMetrics(held: Held | undefined, now: number): string {
  if (!held) return '';
  const seconds = Math.floor((held.notAfter - now) / 1000);
  return (
    gauge(
      'istio_agent_cert_expiry_seconds',
      'Seconds until the certificate of the workload expires; negative once it has expired.',
      '{resource_name="default"}',
      seconds,
    ) +
    gauge(
      'envoy_server_days_until_first_cert_expiring',
      'Whole days until the certificate of the workload expires.',
      '',
      Math.max(0, Math.floor(seconds / DAY_SECONDS)),
    )
  );
}

function gauge(name: string, help: string, labels: string, value: number): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${name}${labels} ${value}\n`;
}
