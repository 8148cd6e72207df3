/** What a first start that fails leaves: nothing that the next one needs to show. */
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { startControlPlane } from '../../control/control-plane.ts';

it('makes the admin token only once nothing can fail any more', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-first-'));
  const taken = createServer();
  await new Promise<void>((done) => taken.listen(0, '127.0.0.1', done));
  const { port } = taken.address() as { port: number };
  const start = (monitoringPort: number) =>
    startControlPlane({
      data: join(folder, 'data'),
      address: '127.0.0.1',
      port: 0,
      dnsNames: [],
      ips: [],
      trustDomain: 'cluster.local',
      svidTtl: 3600,
      monitoring: { address: '127.0.0.1', port: monitoringPort },
      version: '0',
      log: () => {},
    });
  try {
    await expect(start(port)).rejects.toThrow('the port is in use');
    const plane = await start(0);
    expect(plane.adminToken).toEqual(expect.any(String));
    await plane.stop();
  } finally {
    taken.close();
    rmSync(folder, { recursive: true });
  }
});
