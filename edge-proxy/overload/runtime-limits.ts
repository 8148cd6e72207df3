/** The one thing Envoy's layered runtime sets that a proxy of this kind needs: connection limits of listeners. */
import type { LayeredRuntime } from '../../shared/xds/overload.ts';

const LISTENER_LIMIT = /^envoy\.resource_limits\.listener\.(.+)\.connection_limit$/;
const TOTAL = 'overload.global_downstream_max_connections';

export interface RuntimeLimits {
  readonly perListener: ReadonlyMap<string, number>;
  readonly total: number | undefined;
}

/** Later layers override earlier ones, as in Envoy. @throws Error naming a key that is not supported */
export function runtimeLimits(runtime: LayeredRuntime | undefined): RuntimeLimits {
  const perListener = new Map<string, number>();
  let total: number | undefined;
  for (const [i, { staticLayer }] of (runtime?.layers ?? []).entries())
    for (const [key, value] of flattened(staticLayer ?? {}, '')) {
      const at = `layered_runtime.layers[${i}].static_layer.${key}`;
      const listener = LISTENER_LIMIT.exec(key)?.[1];
      if (listener === undefined && key !== TOTAL) throw new Error(`${at}: this runtime key is not supported`);
      if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
        throw new Error(`${at}: must be a whole number, 0 or more`);
      if (listener === undefined) total = value;
      else perListener.set(listener, value);
    }
  return { perListener, total };
}

/** Nested objects and dotted keys mean the same. */
function* flattened(value: Record<string, unknown>, prefix: string): Generator<[string, unknown]> {
  for (const [key, inner] of Object.entries(value)) {
    const path = prefix === '' ? key : `${prefix}.${key}`;
    if (typeof inner === 'object' && inner !== null && !Array.isArray(inner))
      yield* flattened(inner as Record<string, unknown>, path);
    else yield [path, inner];
  }
}
