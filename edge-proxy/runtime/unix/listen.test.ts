import { statSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, expect, it } from 'vitest';
import { temporaryFolder } from '../../../tests/kit/environment.ts';
import { listenUnix } from './listen.ts';

const folder = temporaryFolder();
const servers: net.Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

it("a socket is its owner's alone until it has its permissions, and the umask is as before", async () => {
  const path = join(folder.path, 'a.sock');
  const server = net.createServer();
  servers.push(server);
  const umask = process.umask();
  const listening = listenUnix(server, path, 16, 0o666);
  expect([statSync(path).mode & 0o777, process.umask()]).toEqual([0o600, umask]);
  await listening;
  expect(statSync(path).mode & 0o777).toBe(0o666);
});
