/** A control plane that is away for longer than the certificates live. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES } from '../kit/environment.ts';
import { LoopbackMesh } from '../kit/mesh.ts';
import { until } from '../kit/waiting.ts';
import { get } from './shop-mesh.ts';

describe('a control plane that is away for longer than certificates live', () => {
  const mesh = new LoopbackMesh();
  beforeAll(() => mesh.startControl({ svidTtl: '40s' }));
  afterAll(() => mesh.stop(), 120_000);

  it('is announced by a metric, then by readiness, with the remedy', async () => {
    const proxies = await Promise.all(
      RUNTIMES.map((runtime) => mesh.start({ name: runtime, serviceAccount: 'a', labels: { app: runtime }, runtime })),
    );
    const ask = async (port: number, path: string) => await get({ host: '127.0.0.1', port, path });
    const left = async (port: number) =>
      Number(
        /istio_agent_cert_expiry_seconds\{resource_name="default"\} (\S+)/.exec(
          (await ask(port, '/metrics')).body,
        )?.[1],
      );
    for (const { adminPort } of proxies) {
      expect((await ask(adminPort, '/ready')).status).toBe(200);
      expect(await left(adminPort)).toBeGreaterThan(0);
    }
    await mesh.control!.stop();
    for (const { adminPort, proxy } of proxies) {
      const answer = await until('it is not ready', async () => {
        const found = await ask(adminPort, '/ready');
        return found.status === 503 && found;
      });
      expect(answer.body).toMatch(
        /^CERTIFICATE_EXPIRED: spiffe:.* it is renewed once the control plane is reached.*\n$/,
      );
      expect(await left(adminPort)).toBeLessThan(0);
      expect((await ask(adminPort, '/live')).status).toBe(200);
      await proxy.line((line) => (/expired at .* is not renewed yet: .*/.test(line) ? line : undefined));
    }
  });
});
