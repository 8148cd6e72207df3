/** The control plane's log of what has no effect: of every resource at the start, then of each that changes. */
import { kinds } from '../../../shared/resources/registry.ts';
import type { Resource } from '../../../shared/resources/resource.ts';
import type { MeshView } from '../../mesh/view.ts';
import { notCompiled } from './not-compiled.ts';

/** Lines for one view; a mesh that is full of them must not fill the log at each start. */
const MAX_LINES = 200;

/**
 * Makes the listener of views that logs a line for each part of a resource that has no effect. A resource is looked at
 * once: the store gives a changed one as a new object. MeshConfig's own are warnings of the view's settings.
 */
export function logNotCompiled(log: (line: string) => void): (view: MeshView) => void {
  const seen = new WeakSet<Resource>();
  return (view) => {
    const fresh = kinds.flatMap(({ kind }) => view.resources(kind)).filter((item) => !seen.has(item));
    for (const item of fresh) seen.add(item);
    const lines = fresh.flatMap(linesOf);
    for (const line of lines.slice(0, MAX_LINES)) log(line);
    if (lines.length > MAX_LINES)
      log(`${lines.length - MAX_LINES} more parts of resources have no effect: see tulle validate`);
  };
}

function linesOf(resource: Resource): string[] {
  const { namespace, name } = resource.metadata;
  const who = `${resource.kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`;
  return notCompiled(resource).map(({ path, message }) => `${who}: ${path === '' ? '' : `${path}: `}${message}`);
}
