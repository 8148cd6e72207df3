/** How the proxy process runs an Envoy in the place of its own data plane. */
import type { MeshProxyDeps } from '../mesh-proxy.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { MeshSettings } from '../settings/settings.ts';
import { envoyPart } from './envoy-part.ts';

/** Its config comes whole: route configurations hold their virtual hosts, and every host that may be called. */
const FEATURES = ['tulle.held-digests', 'tulle.answer-pages', 'tulle.trust', 'tulle.control-planes'] as const;

/** @param args further arguments of Envoy */
export function envoyEngine(
  { process }: Pick<Runtime, 'process'>,
  settings: MeshSettings,
  args: readonly string[],
): Required<Pick<MeshProxyDeps, 'proxy' | 'engine'>> {
  return {
    engine: { userAgent: 'envoy', features: FEATURES },
    proxy: (identity, _taken, node) =>
      envoyPart({
        program: settings['envoy-path']!,
        args,
        data: settings.data,
        adminPort: settings['envoy-admin-port'],
        node,
        identity,
        log: process.log,
        writeError: (line) => process.writeError(line),
      }),
  };
}
