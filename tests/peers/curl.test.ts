/** curl as the client: the options with which it speaks HTTP/1.1 in other ways than a browser. */
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { run, works } from '../kit/process.ts';
import { type RunningProxy, startTulle } from '../kit/proxy.ts';
import { type Backend, type Echoed, startBackend } from './backend.ts';
import { peersBootstrap } from './bootstrap.ts';

const HAS_CURL = works('curl');
if (!HAS_CURL) console.warn('skipped: no curl (apt-get install curl)');

describe.skipIf(!HAS_CURL)('curl', () => {
  const folder = temporaryFolder();
  const upload = join(folder.path, 'upload');
  const content = randomBytes(3_000_000);
  const sha256 = createHash('sha256').update(content).digest('hex');
  let backend: Backend;

  beforeAll(async () => {
    writeFileSync(upload, content);
    backend = await startBackend();
  });
  afterAll(() => {
    backend.stop();
    folder.dispose();
  });

  /** Without the variables that name proxies. */
  const env = {
    http_proxy: undefined,
    https_proxy: undefined,
    HTTPS_PROXY: undefined,
    all_proxy: undefined,
    ALL_PROXY: undefined,
  };
  const curl = async (...args: string[]): Promise<{ out: string; trace: string }> => {
    const all = ['-sS', '--noproxy', '', '--max-time', '60', ...args];
    const { code, out, error: trace } = await run('curl', all, { encoding: 'latin1', env });
    if (code !== 0) throw new Error(`curl ${args.join(' ')}: exit code ${code}\n${trace}`);
    return { out, trace };
  };

  describe.each(RUNTIMES)('on %s', (runtime) => {
    let proxy: RunningProxy;
    let url = '';
    let forward = '';
    beforeAll(async () => {
      const port = backend.port;
      proxy = await startTulle(runtime, peersBootstrap({ http: port, websocket: port, tcp: port }), folder.path);
      url = `http://127.0.0.1:${proxy.ports['gateway']}`;
      forward = `http://127.0.0.1:${proxy.ports['forward']}`;
    });
    afterAll(async () => {
      await proxy?.stop();
    });
    const echoed = ({ out }: { out: string }) => JSON.parse(out) as Echoed;

    it('uploads with a length, after 100-continue', async () => {
      const { out, trace } = await curl(
        '-v',
        '-H',
        'Expect: 100-continue',
        '--data-binary',
        `@${upload}`,
        `${url}/echo`,
      );
      expect(JSON.parse(out)).toMatchObject({ method: 'POST', bytes: content.length, sha256, encoding: '' });
      expect(trace).toContain('< HTTP/1.1 100 Continue');
    });

    it('uploads in chunks', async () => {
      const answer = await curl('-T', upload, '-H', 'Transfer-Encoding: chunked', `${url}/echo`);
      expect(echoed(answer)).toMatchObject({ method: 'PUT', bytes: content.length, sha256, encoding: 'chunked' });
    });

    it('downloads in chunks, whole', async () => {
      const { out } = await curl(`${url}/large`);
      expect(out.length).toBe(64 * 64 * 1024);
      expect(createHash('sha256').update(out, 'latin1').digest('hex')).toBe(
        createHash('sha256')
          .update(
            Buffer.alloc(64 * 1024, 'tulle')
              .toString()
              .repeat(64),
          )
          .digest('hex'),
      );
    });

    it('asks for the head alone', async () => {
      const { out } = await curl('-I', `${url}/echo`, `${url}/echo`);
      expect(out.match(/^HTTP\/1\.1 200 OK\r$/gm)).toHaveLength(2);
      expect(out).toMatch(/^content-length: [1-9]/im);
    });

    it('keeps the connection for further requests', async () => {
      const { out } = await curl(
        '-w',
        '%{num_connects} ',
        ...['a', 'b', 'c'].flatMap((path) => [`${url}/${path}`, '-o', '/dev/null']),
      );
      expect(out.trim()).toBe('1 0 0');
    });

    it('speaks HTTP/1.0, with and without keep-alive', async () => {
      expect(echoed(await curl('--http1.0', `${url}/ten`))).toMatchObject({ url: '/ten' });
      expect((await curl('--http1.0', `${url}/large`)).out.length).toBe(64 * 64 * 1024);
      const kept = ['-H', 'Connection: keep-alive', '-w', '%{num_connects} '];
      const { out } = await curl('--http1.0', ...kept, `${url}/a`, '-o', '/dev/null', `${url}/b`, '-o', '/dev/null');
      expect(out.trim()).toBe('1 0');
    });

    it('sends no Host with HTTP/1.0', async () => {
      expect(echoed(await curl('--http1.0', '-H', 'Host:', `${url}/echo`)).host).toBe('default.test');
    });

    it('asks through a forward proxy, in absolute form', async () => {
      const answer = await curl('-x', forward, 'http://app.test/b?c');
      expect(echoed(answer)).toMatchObject({ url: '/b?c', host: 'app.test' });
    });

    it('tunnels through a forward proxy by CONNECT', async () => {
      const answer = await curl('-p', '-x', forward, 'http://tunnel.test/inside', 'http://tunnel.test/again');
      expect(answer.out).toContain('"url":"/inside","host":"tunnel.test"');
      expect(answer.out).toContain('"url":"/again"');
    });

    it('is refused a tunnel elsewhere', async () => {
      await expect(curl('-p', '-x', forward, 'http://elsewhere.test/')).rejects.toThrow(/404/);
    });

    it('is answered here, in words and statuses', async () => {
      expect((await curl(`${url}/direct`)).out).toBe('made here');
      const { out } = await curl('-w', ' %{http_code}', '--data-binary', `@${upload}`, `${url}/refused`);
      expect(out).toBe('fault filter abort 418');
    });

    it('sees names of fields as they were written', async () => {
      expect((await curl('-i', `${url}/echo`)).out).toContain('\r\nX-Mixed-Case: Kept\r\n');
    });
  });
});
