/** Who found what: findings by reporter, and counted by the resource that they are about. */
import type { Resource } from '../../shared/resources/resource.ts';
import type { Finding } from '../compile/output/finding.ts';
import { resourceId } from '../mesh/mesh-resource.ts';

/** A proxy's session, or a name. */
export type Reporter = object | string;

interface Counted {
  finding: Finding;
  count: number;
}

const NONE: readonly Finding[] = [];

export class FindingTable {
  private readonly byReporter = new Map<Reporter, readonly Finding[]>();
  private readonly byResource = new Map<string, Map<string, Counted>>();

  /**
   * Replaces what `reporter` had found.
   * @returns the resources of which other findings are known now
   */
  replace(reporter: Reporter, findings: readonly Finding[]): Map<string, Resource> {
    const changed = new Map<string, Resource>();
    const before = this.byReporter.get(reporter) ?? NONE;
    if (before === findings) return changed;
    for (const finding of findings) if (this.add(finding)) changed.set(resourceId(finding.about), finding.about);
    for (const finding of before) if (this.remove(finding)) changed.set(resourceId(finding.about), finding.about);
    if (findings.length > 0) this.byReporter.set(reporter, findings);
    else this.byReporter.delete(reporter);
    return changed;
  }

  /** Everything that is known of a resource, by its `resourceId`. */
  of(id: string): readonly Finding[] {
    return [...(this.byResource.get(id)?.values() ?? [])].map(({ finding }) => finding);
  }

  /** All resources of which something is known, by `resourceId`. */
  *resources(): Generator<[string, Resource]> {
    for (const [id, findings] of this.byResource)
      for (const { finding } of findings.values()) {
        yield [id, finding.about];
        break;
      }
  }

  private add(finding: Finding): boolean {
    const id = resourceId(finding.about);
    let findings = this.byResource.get(id);
    if (!findings) this.byResource.set(id, (findings = new Map()));
    const known = findings.get(textOf(finding));
    if (!known) findings.set(textOf(finding), { finding, count: 1 });
    else {
      known.count += 1;
      if (!isNewer(finding, known.finding)) return false;
      known.finding = finding;
    }
    return true;
  }

  private remove(finding: Finding): boolean {
    const id = resourceId(finding.about);
    const findings = this.byResource.get(id);
    const known = findings?.get(textOf(finding));
    if (!findings || !known) return false;
    known.count -= 1;
    if (known.count > 0) return false;
    findings.delete(textOf(finding));
    if (findings.size === 0) this.byResource.delete(id);
    return true;
  }
}

const textOf = ({ reason, message }: Finding): string => `${reason} ${message}`;

/** Of one resource a later generation; of two that had the name one after the other, the one that was written later. */
function isNewer({ about: one }: Finding, { about: other }: Finding): boolean {
  const { uid, generation = 1 } = one.metadata;
  if (uid === other.metadata.uid) return generation > (other.metadata.generation ?? 1);
  return Number(one.metadata.resourceVersion) > Number(other.metadata.resourceVersion);
}
