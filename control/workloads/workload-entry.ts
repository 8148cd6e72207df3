/** The WorkloadEntry of a registered machine, as istiod makes it (istio.io/istio pilot/pkg/autoregistration, controller.go). */
import type { Resource } from '../../shared/resources/resource.ts';
import type { Node } from '../../shared/xds/core.ts';
import { BEHIND_NAT_LABEL } from '../compile/cluster/tunnel-view.ts';
import { workloadProbe } from '../compile/node/workload-probe.ts';
import { isSwitchedOn } from '../compile/scope/proxy.ts';
import { labelsOf, specOf, text } from '../mesh/fields.ts';
import { ENTRY_RECORDS, HEALTH_CHECKED } from '../mesh/workload/workload-records.ts';
import { addedLabelViolation, type LabelViolation, machineLabelViolation, withAddedLabels } from './added-labels.ts';
import { templateOf, type WorkloadGroup } from './group-template.ts';

const MAX_NAME = 253;

/** What a proxy says of its machine. */
export interface Machine {
  readonly namespace: string;
  readonly serviceAccount: string;
  /** AUTO_REGISTER_GROUP. */
  readonly group: string;
  readonly address: string;
  /** NETWORK; '': not named. */
  readonly network: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `region/zone/subzone`, '' not named. */
  readonly locality: string;
  /** No peer can dial it. */
  readonly behindNat: boolean;
}

/** undefined: the node asks for no registration. */
export function machineOf({ id, metadata = {}, locality }: Node): Machine | undefined {
  const group = text(metadata['AUTO_REGISTER_GROUP']);
  if (group === undefined) return undefined;
  const [, ip = ''] = id.split('~');
  const [address = ''] = (text(metadata['INSTANCE_IPS']) ?? ip).split(',');
  const { region = '', zone = '', subZone = '' } = locality ?? {};
  return {
    namespace: text(metadata['NAMESPACE']) ?? '',
    serviceAccount: text(metadata['SERVICE_ACCOUNT']) ?? '',
    group,
    address: address.trim() || ip,
    network: text(metadata['NETWORK']) ?? '',
    labels: labelsOf(metadata['LABELS']),
    locality: [region, zone, subZone].join('/').replace(/\/+$/, ''),
    behindNat: isSwitchedOn(text(metadata['TULLE_BEHIND_NAT'])),
  };
}

/** `<group>-<ip>-<network>`, without the last where none is named; colons of IPv6 are hyphens; a long one is cut in front. */
export function entryName({ group, address, network }: Pick<Machine, 'group' | 'address' | 'network'>): string {
  const parts = [group, address.replaceAll(':', '-'), ...(network === '' ? [] : [network])];
  // A name begins with a letter or digit.
  return parts
    .join('-')
    .slice(-MAX_NAME)
    .replace(/^[-.]+/, '');
}

export interface EntryRecords {
  /** Of the control plane. */
  readonly controller: string;
  /** Id of the join of the machine; undefined: not known. */
  readonly join: string | undefined;
  readonly connectedAt: Date;
}

/** @param added labels of the invitation @returns the entry, and which labels of the machine were not taken */
export function workloadEntryOf(
  group: WorkloadGroup,
  machine: Machine,
  added: Readonly<Record<string, string>>,
  { controller, join, connectedAt }: EntryRecords,
): { entry: Resource; refused: readonly LabelViolation[] } {
  const { labels: groups, annotations, ports, network, locality, weight, serviceAccount } = templateOf(group);
  const invited = withAddedLabels(groups, added, addedLabelViolation);
  const { labels: own, refused } = withAddedLabels(invited.labels, machine.labels, machineLabelViolation);
  const labels = machine.behindNat ? { ...own, [BEHIND_NAT_LABEL]: 'true' } : own;
  const ownNetwork = machine.network || network;
  const ownLocality = machine.locality || locality;
  const { apiVersion, kind, metadata } = group;
  const entry: Resource = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata: {
      name: entryName(machine),
      namespace: machine.namespace,
      labels,
      annotations: {
        ...annotations,
        ...(workloadProbe(specOf(group).probe) && { [HEALTH_CHECKED]: 'true' }),
        [ENTRY_RECORDS.group]: metadata.name,
        [ENTRY_RECORDS.controller]: controller,
        [ENTRY_RECORDS.connectedAt]: connectedAt.toISOString(),
        ...(join !== undefined && { [ENTRY_RECORDS.join]: join }),
      },
      ownerReferences: [{ apiVersion, kind, name: metadata.name, uid: metadata.uid ?? '', controller: true }],
    },
    spec: {
      address: machine.address,
      labels,
      serviceAccount,
      ...(Object.keys(ports).length > 0 && { ports: { ...ports } }),
      ...(ownNetwork && { network: ownNetwork }),
      ...(ownLocality && { locality: ownLocality }),
      ...(weight !== undefined && { weight }),
    },
  };
  return { entry, refused };
}

/** Whether registration made it. */
export const isRegistered = ({ metadata }: Resource): boolean =>
  metadata.annotations?.[ENTRY_RECORDS.group] !== undefined && metadata.annotations[ENTRY_RECORDS.group] !== '';
