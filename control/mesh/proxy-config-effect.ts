/** Which parts of MeshConfig's ProxyConfig proxies take, and what is said of the others. */
import { DEFAULT_PROXY_CONFIG } from '../../shared/resources/mesh-config/mesh-config-defaults.ts';
import type { MeshProxyConfig } from '../../shared/resources/mesh-config/mesh-config-proxy.ts';

const TAKEN: ReadonlySet<string> = new Set(['concurrency', 'drainDuration', 'terminationDrainDuration']);
const ELSEWHERE: Readonly<Record<string, string>> = {
  proxyMetadata: 'has no effect: give it to the proxy process as its environment',
  image: 'has no effect: the image is chosen where the proxy is deployed',
};

/** The fields that say something else than Istio's defaults and change nothing, each with a sentence. */
export function withoutEffect(config: MeshProxyConfig): { path: string; message: string }[] {
  const found = Object.entries(config)
    .filter(([field, value]) => !TAKEN.has(field) && value !== undefined && !isDefault(field, value))
    .map(([path]) => ({ path, message: ELSEWHERE[path] ?? 'has no effect yet' }));
  if (config.concurrency !== undefined && config.concurrency < 0)
    found.push({ path: 'concurrency', message: 'must be at least 0: it is ignored' });
  return found;
}

const isDefault = (field: string, value: unknown): boolean =>
  (DEFAULT_PROXY_CONFIG as Record<string, unknown>)[field] === value;
