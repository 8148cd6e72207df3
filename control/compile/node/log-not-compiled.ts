/** The control plane's log of what has no effect: of every resource at the start, then of those that are written. */
import type { Resource } from '../../../shared/resources/resource.ts';
import { notCompiled } from './not-compiled.ts';

/** Lines for one call; a mesh that is full of them must not fill the log at each start. */
const MAX_LINES = 200;

/**
 * Logs a line for each part of the resources that has no effect. MeshConfig's own are warnings of the view's settings.
 * The work grows with `resources` alone, so that a write costs the same in every mesh.
 */
export function logNotCompiled(resources: Iterable<Resource>, log: (line: string) => void): void {
  let lines = 0;
  for (const resource of resources)
    for (const line of linesOf(resource)) {
      lines += 1;
      if (lines <= MAX_LINES) log(line);
    }
  if (lines > MAX_LINES) log(`${lines - MAX_LINES} more parts of resources have no effect: see tulle validate`);
}

function linesOf(resource: Resource): string[] {
  const { namespace, name } = resource.metadata;
  const who = `${resource.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
  return notCompiled(resource).map(({ path, message }) => `${who}: ${path === '' ? '' : `${path}: `}${message}`);
}
