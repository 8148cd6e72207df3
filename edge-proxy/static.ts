/** `tulle proxy -c`: a proxy from a static file in Envoy's own bootstrap form. */
import { Bootstrap } from '../shared/xds/bootstrap.ts';
import { pathText } from './config-error.ts';
// biome-ignore lint/suspicious/noShadowRestrictedNames: the mesh proxy, not ECMAScript's
import type { Proxy } from './proxy.ts';

/** A bootstrap file that cannot be run; every fault with its path. */
export class BootstrapError extends Error {
  override readonly name = 'BootstrapError';
}

/**
 * Reads a bootstrap file: snake_case and lowerCamel names both, unknown fields refused by name.
 * @throws BootstrapError
 */
export function loadBootstrap(text: string): Bootstrap {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new BootstrapError(`not valid JSON: ${(error as Error).message}`);
  }
  const parsed = Bootstrap.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new BootstrapError(parsed.error.issues.map((issue) => `${pathText(issue.path)}: ${issue.message}`).join('; '));
}

/** What a bootstrap is given to: a proxy, or the part of a process that runs one. */
interface Applies {
  apply(changes: Parameters<Proxy['apply']>[0]): Map<string, string> | Promise<Map<string, string>>;
  stop?(): Promise<void>;
  close?(): Promise<void>;
}

/** Runs a bootstrap's static resources. @throws BootstrapError when a resource is refused: a static file runs whole or not at all */
export async function runBootstrap(proxy: Applies, bootstrap: Bootstrap): Promise<void> {
  const { listeners = [], clusters = [], secrets = [] } = bootstrap.staticResources ?? {};
  const faults = await proxy.apply({
    secrets: { upsert: secrets, remove: [] },
    clusters: { upsert: clusters, remove: [] },
    listeners: { upsert: listeners, remove: [] },
  });
  if (faults.size === 0) return;
  await (proxy.close ?? proxy.stop)?.call(proxy);
  throw new BootstrapError([...faults].map(([name, reason]) => `${name}: ${reason}`).join('; '));
}
