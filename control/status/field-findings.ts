/** What has no effect, of every resource that is written: a line in the log, and a finding for its status. */
import type { Resource } from '../../shared/resources/resource.ts';
import { notCompiled } from '../compile/node/not-compiled.ts';
import { type Finding, findingText } from '../compile/output/finding.ts';
import { resourceId } from '../mesh/mesh-resource.ts';
import type { MeshChange } from '../mesh/view.ts';
import type { StatusWriter } from './status-writer.ts';

/** Lines for one call; a mesh that is full of them must not fill the log at each start. */
const MAX_LINES = 200;

/**
 * Logs and reports each part of the resources that has no effect. MeshConfig's own are warnings of the view's settings.
 * The work grows with what was written alone, so that a write costs the same in every mesh.
 */
export function reportFieldFindings(
  { written, deleted }: Pick<MeshChange, 'written' | 'deleted'>,
  { log, status }: { log: (line: string) => void; status: Pick<StatusWriter, 'report'> },
): void {
  let lines = 0;
  for (const resource of written) {
    const findings = fieldFindings(resource);
    for (const finding of findings) {
      lines += 1;
      if (lines <= MAX_LINES) log(findingText(finding));
    }
    status.report(reporterOf(resource), findings);
  }
  for (const resource of deleted) status.report(reporterOf(resource), []);
  if (lines > MAX_LINES) log(`${lines - MAX_LINES} more parts of resources have no effect: see tulle validate`);
}

const reporterOf = (resource: Resource): string => `fields of ${resourceId(resource)}`;

function fieldFindings(resource: Resource): Finding[] {
  return notCompiled(resource).map(({ path, message }) => ({
    about: resource,
    reason: 'FieldWithoutEffect' as const,
    message: path === '' ? message : `${path}: ${message}`,
  }));
}
