/** The fields of a header block as a list. */
import type { FieldSink } from './header-block.ts';

/** Name and value; characters below U+0100, one a byte. */
export type Field = readonly [name: string, value: string];

/** All fields of a block. */
export class FieldList implements FieldSink {
  readonly fields: Field[] = [];

  onField(name: string, value: string): void {
    this.fields.push([name, value]);
  }
}
