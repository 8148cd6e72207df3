/** What only the server warns of is shown too; what was told already is not told again. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { temporaryFolder } from '../../tests/harness.ts';
import { type Answer, ControlApi } from './connection.ts';
import { apply } from './resources.ts';

const folder = temporaryFolder();
afterEach(() => {
  vi.restoreAllMocks();
  folder.dispose();
});

const RESOURCE = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a}
spec:
  hosts: [a]
  http:
  - route: [{destination: {host: a}}]
  - route: [{destination: {host: b}}]
`;

class Server extends ControlApi {
  readonly asked: string[] = [];
  override async request(method: string, path: string): Promise<Answer> {
    this.asked.push(`${method} ${path}`);
    if (method === 'GET') return { status: 404, body: {}, warnings: [] };
    const told = 'spec.http[1]: is never reached: spec.http[0] before it matches everything';
    return { status: 201, body: {}, warnings: ['the server is about to stop', told] };
  }
}

it('tulle apply shows the warnings of the server, once', async () => {
  const file = join(folder.path, 'a.yaml');
  writeFileSync(file, RESOURCE);
  const lines: string[] = [];
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => lines.push(String(text)) > 0);
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  const server = new Server('https://x', undefined, undefined);
  await apply(server, [file], 'default', { dryRun: false, fields: 'Strict' });
  expect(server.asked.filter((each) => each.startsWith('POST'))).toHaveLength(2);
  expect(lines).toEqual([
    `Warning: ${file}:8:5: VirtualService a: spec.http[1]: is never reached: spec.http[0] before it matches everything\n`,
    `Warning: ${file}:1: VirtualService a: the server is about to stop\n`,
  ]);
});
