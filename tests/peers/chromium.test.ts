/** A browser through the gateway, over HTTP/1.1 and over HTTP/2: page, style sheet, module script, fetch with a body, WebSocket. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bunBinary } from '../../control/cli/runtimes.mjs';
import { ROOT, RUNTIMES, temporaryFolder } from '../kit/environment.ts';
import { Program, works } from '../kit/process.ts';
import { startTulle } from '../kit/proxy.ts';
import { until } from '../kit/waiting.ts';
import { leaf, rootAuthority, x509 } from '../mtls/certificates.ts';
import { type Backend, startBackend } from './backend.ts';
import { peersBootstrap, type ServerCertificate } from './bootstrap.ts';

/** The programs themselves: what Debian puts on the PATH is a script, which a signal would end alone. */
const CHROMIUM = ['/usr/lib/chromium/chromium-headless-shell', '/usr/lib/chromium/chromium'].find((name) =>
  works(name),
);
if (!CHROMIUM) console.warn('skipped: no Chromium (apt-get install chromium-headless-shell)');

describe.skipIf(!CHROMIUM || !bunBinary())('Chromium', () => {
  const folder = temporaryFolder();
  let backend: Backend;
  let sockets: Program;
  let socketPort = 0;
  let certificate: ServerCertificate;

  beforeAll(async () => {
    const names = new x509.SubjectAlternativeNameExtension([{ type: 'ip', value: '127.0.0.1' }]);
    certificate = await leaf(await rootAuthority('browser'), { uri: '', names });
    backend = await startBackend();
    sockets = new Program('websocket server', [bunBinary()!, `${ROOT}/tests/peers/websocket-server.ts`]);
    ({ port: socketPort } = await sockets.announcement<{ port: number }>());
  });
  afterAll(async () => {
    await sockets?.stop();
    backend?.stop();
    folder.dispose();
  });

  it.each(
    RUNTIMES.flatMap((runtime) => [[runtime, 'gateway', 'http/1.1'] as const, [runtime, 'secure', 'h2'] as const]),
  )('shows a page through %s (%s: %s)', async (runtime, listener, protocol) => {
    const ports = { http: backend.port, websocket: socketPort, tcp: backend.port };
    const proxy = await startTulle(runtime, peersBootstrap(ports, certificate), folder.path);
    const profile = `${folder.path}/${runtime}-${listener}`;
    const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run'];
    const scheme = listener === 'secure' ? 'https' : 'http';
    const url = `${scheme}://127.0.0.1:${proxy.ports[listener]}/page`;
    // A debugging port keeps it open: the page's script decides when it is done, by its report.
    const more = [
      '--ignore-certificate-errors',
      '--disable-background-networking',
      `--user-data-dir=${profile}`,
      '--remote-debugging-port=0',
      url,
    ];
    const browser = new Program('chromium', [CHROMIUM!, ...flags, ...more], { env: { HOME: profile } });
    try {
      const before = backend.reports.length;
      await until('the page reports', () => backend.reports.length > before || browser.process.exitCode !== null);
      expect(backend.reports[before], browser.lines.join('\n')).toBe(`100000|over the socket|rgb(1, 2, 3)|${protocol}`);
    } finally {
      await browser.stop();
      await proxy.stop();
    }
  });
});
