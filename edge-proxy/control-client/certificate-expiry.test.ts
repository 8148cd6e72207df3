import { describe, expect, it } from 'vitest';
import { expiryFailure, expiryMetrics } from './certificate-expiry.ts';

const held = { spiffeId: 'spiffe://a/ns/b/sa/c', notAfter: Date.parse('2026-01-03T00:00:00Z') };
const at = (time: string) => Date.parse(`2026-01-${time}Z`);

describe('the expiry of a certificate', () => {
  it('is no failure before it, and names the remedy after it', () => {
    expect(expiryFailure(undefined, 0)).toBeUndefined();
    expect(expiryFailure(held, at('02T23:59:59'))).toBeUndefined();
    expect(expiryFailure(held, at('03T00:00:01'))).toBe(
      'CERTIFICATE_EXPIRED: spiffe://a/ns/b/sa/c expired at 2026-01-03T00:00:00.000Z; it is renewed once the control plane is reached, unless the log says why not',
    );
  });

  it('is a metric in seconds and in days', () => {
    const values = (now: number) =>
      expiryMetrics(held, now)
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'));
    expect(values(at('01T00:00:30'))).toEqual([
      'istio_agent_cert_expiry_seconds{resource_name="default"} 172770',
      'envoy_server_days_until_first_cert_expiring 1',
    ]);
    expect(values(at('03T00:00:02'))[0]).toBe('istio_agent_cert_expiry_seconds{resource_name="default"} -2');
    expect(values(at('03T00:00:02'))[1]).toBe('envoy_server_days_until_first_cert_expiring 0');
    expect(expiryMetrics(undefined, 0)).toBe('');
  });
});
