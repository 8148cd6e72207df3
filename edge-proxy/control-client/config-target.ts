/** What runs the config that a proxy is sent. */
import { RESOURCE_TYPES, type ResourceType, resourceName } from '../../shared/xds/discovery.ts';

export type ConfigChanges = { [T in ResourceType]?: { upsert: unknown[]; remove: string[] } };

export interface ConfigTarget {
  /**
   * Compiles and swaps in what is good, make before break; what is not keeps its last good state.
   * @returns the refused: `type/name` -> what is wrong with it
   */
  apply(changes: ConfigChanges): Map<string, string> | Promise<Map<string, string>>;
}

/** A target that throws has refused everything it was handed. */
export async function applyTo(target: ConfigTarget, changes: ConfigChanges): Promise<Map<string, string>> {
  try {
    return await target.apply(changes);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const refused = new Map<string, string>();
    for (const type of RESOURCE_TYPES) {
      for (const resource of changes[type]?.upsert ?? [])
        refused.set(`${type}/${resourceName(type, resource)}`, reason);
      for (const name of changes[type]?.remove ?? []) refused.set(`${type}/${name}`, reason);
    }
    return refused;
  }
}
