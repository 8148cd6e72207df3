/** Issues certificates when asked to: the process whose CPU `ca.ts` measures. One line in, one line out. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { openAuthority } from '../../../control/ca/authority.ts';
import { createCsr } from '../../../shared/identity/csr.ts';
import { generateKeys } from '../../../shared/identity/keys.ts';

const id = 'spiffe://cluster.local/ns/shop/sa/reviews';
const folder = mkdtempSync(join(tmpdir(), 'tulle-bench-ca-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const authority = await openAuthority({ folder, trustDomain: 'cluster.local' });
const requests = await Promise.all(Array.from({ length: 64 }, async () => createCsr(await generateKeys(), id)));

/** `count` certificates, `together` at a time, as the route makes them: checked, then issued. */
async function issue(count: number, together: number): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const csr = requests[next++ % requests.length]!;
      await authority.sign(await authority.check(csr, id));
    }
  };
  await Promise.all(Array.from({ length: together }, worker));
}

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [count, together] = line.split(' ').map(Number);
  await issue(count!, together!);
  process.stdout.write('done\n');
}
