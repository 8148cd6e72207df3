/** The program of the single executable: the `tulle` command, and the proxy in the same process. */
import process from 'node:process';
import { setProxyProgram } from '../control/cli/proxy.ts';

const proxy = () => import('../edge-proxy/main.ts');

// A worker of a proxy is this executable started again (edge-proxy/runtime/workers.ts).
if (process.env['TULLE_WORKER_PROCESS'] === '1') await proxy();
else {
  setProxyProgram(proxy);
  await import('../control/cli/main.ts');
}
