/**
 * The labels that the proxy of a machine which joined for a WorkloadGroup has. DestinationRules, Sidecars and policies select
 * proxies by labels, and their selection decides which Secrets a proxy is sent. So these are the labels that an administrator
 * gave, and those with which a machine may describe itself.
 */
import type { Node } from '../../shared/xds/core.ts';
import type { Join } from '../ca/joins.ts';
import { PROXY_TYPES } from '../compile/node/proxy-types.ts';
import { labelsOf, namespaceOf } from '../mesh/fields.ts';
import type { ControlEvents } from '../telemetry/events.ts';
import { addedLabelViolation, machineLabelViolation, quotedKey, withAddedLabels } from './added-labels.ts';
import { templateOf, type WorkloadGroup } from './group-template.ts';
import { RegistrationError } from './registration-error.ts';

/** Fields of a node's metadata that hold labels. */
const FIELDS = ['LABELS', 'STATIC_LABELS'] as const;
/** Labels that a note names. */
const MOST_NAMED = 5;

export interface MachineLabelsOptions {
  /** @param serial of a certificate */
  readonly joinOf: (serial: string) => Join | undefined;
  readonly groups: () => readonly WorkloadGroup[];
  readonly events: Pick<ControlEvents, 'registration'>;
}

export class MachineLabels {
  private readonly options: MachineLabelsOptions;
  /** Which labels a node of `admit` lost, one line. */
  private readonly notes = new WeakMap<Node, string>();

  constructor(options: MachineLabelsOptions) {
    this.options = options;
  }

  /**
   * @param serial of the certificate that the proxy presents; undefined: none
   * @returns the node without the labels that it may not have
   * @throws RegistrationError where a gateway has a label that neither its group nor its invitation gives: it is sent the private
   *   keys of the Gateways that select it
   */
  admit(node: Node, serial: string | undefined): Node {
    const join = serial === undefined ? undefined : this.options.joinOf(serial);
    if (join?.group === undefined) return node;
    const group = this.options
      .groups()
      .find((one) => one.metadata.name === join.group && namespaceOf(one) === join.namespace);
    const { labels: held } = withAddedLabels(group ? templateOf(group).labels : {}, join.labels, addedLabelViolation);
    if (PROXY_TYPES.get(typeOf(node))?.readsCredentials === 'always') {
      checkGateway(node, held, join.group);
      return node;
    }
    return this.withoutForeign(node, held, join.group);
  }

  /** What an operator should know of the labels of a node that `admit` returned. */
  noteOn(node: Node): string | undefined {
    return this.notes.get(node);
  }

  /** Logs which labels a node of `admit` lost. */
  report(node: Node): void {
    const note = this.notes.get(node);
    if (note !== undefined) this.options.events.registration({ what: 'label', entry: node.id, reason: note });
  }

  private withoutForeign(node: Node, held: Readonly<Record<string, string>>, group: string): Node {
    const { metadata = {} } = node;
    const dropped = new Set<string>();
    const kept: Record<string, Record<string, string>> = {};
    for (const field of FIELDS) {
      if (metadata[field] === undefined) continue;
      const labels = Object.entries(labelsOf(metadata[field]));
      const allowed = labels.filter(([key, value]) => machineLabelViolation(held, key, value) === undefined);
      kept[field] = Object.fromEntries(allowed);
      for (const [key, value] of labels)
        if (machineLabelViolation(held, key, value) !== undefined) dropped.add(quotedKey(key));
    }
    if (dropped.size === 0) return node;
    const admitted = { ...node, metadata: { ...metadata, ...kept } };
    this.notes.set(admitted, dropText([...dropped], group));
    return admitted;
  }
}

function dropText(keys: readonly string[], group: string): string {
  const more = keys.length > MOST_NAMED ? ` and ${keys.length - MOST_NAMED} more` : '';
  const named = keys.slice(0, MOST_NAMED).join(', ');
  return `labels ${named}${more} of the machine are not taken: neither WorkloadGroup "${group}" nor the invitation gives them; add them there`;
}

/** @throws RegistrationError */
function checkGateway({ metadata = {} }: Node, held: Readonly<Record<string, string>>, group: string): void {
  for (const field of FIELDS)
    for (const [key, value] of Object.entries(labelsOf(metadata[field])))
      if (!Object.hasOwn(held, key) || held[key] !== value)
        throw new RegistrationError(
          'not-allowed',
          `a gateway has the labels of its WorkloadGroup "${group}" and of its invitation, and none besides them: add them there`,
        );
}

const typeOf = ({ id }: Node): string => id.slice(0, id.indexOf('~'));
