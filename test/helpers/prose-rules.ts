/**
 * House rules about comments: how wide they are, and turns of phrase that a busy engineer has to read twice. Each complaint says
 * what to write instead.
 *
 * Not held here, as no pattern finds it: pronouns whose noun is far away, and whether a comment is true.
 */

export const COMMENT_WIDTH_MAX = 130;

/** Looked for in comments alone, where line breaks and the stars of a block count as spaces. */
const HABITS: readonly { readonly pattern: RegExp; readonly instead: string }[] = [
  {
    pattern: /^\W*So (?:many|long|much|few|far)\b(?! as\b)/,
    instead: 'say what the constant bounds, its unit and why: "After this many ...", "At most ..."',
  },
  { pattern: /\bof before\b/, instead: 'say earlier, previous, or opened before what' },
  { pattern: /\bof after\b/, instead: 'say later, or after what' },
  { pattern: /\b[Bb]ulk[- ]load(?!ing)/, instead: 'it is called an ingestion' },
];

export interface CommentComplaint {
  readonly offset: number;
  readonly message: string;
}

/** What is wrong with the comments of `text`; `noComments` is the same text with its comments blanked (source-text.ts). */
export function checkComments(text: string, noComments: string): CommentComplaint[] {
  const complaints: CommentComplaint[] = [];
  let offset = 0;
  for (const line of text.split('\n')) {
    const isComment = noComments.slice(offset, offset + line.length).trim() !== line.trim();
    if (isComment && line.length > COMMENT_WIDTH_MAX)
      complaints.push({
        offset,
        message: `a comment of ${line.length} characters; wrap it (at most ${COMMENT_WIDTH_MAX})`,
      });
    offset += line.length + 1;
  }
  for (const { start, words } of commentsOf(text, noComments))
    for (const { pattern, instead } of HABITS) {
      const match = pattern.exec(words);
      if (match !== null) complaints.push({ offset: start, message: `"${match[0].trim()}": ${instead}` });
    }
  return complaints;
}

/** Each comment as one line of words; `//` comments on lines that follow each other are one. */
function commentsOf(text: string, noComments: string): { start: number; words: string }[] {
  const comments: { start: number; words: string }[] = [];
  let start = -1;
  for (let i = 0; i <= text.length; i++) {
    const isInside = i < text.length && text[i] !== noComments[i];
    if (isInside && start < 0) start = i;
    // Spaces and line breaks look alike in both: a comment goes on where the next word is blanked, too.
    if (isInside || start < 0 || (i < text.length && /\s/.test(text[i]!))) continue;
    const words = text.slice(start, i).replaceAll(/\s*\n\s*(?:\*(?!\/)|\/\/)?\s*/g, ' ');
    comments.push({ start, words: words.replace(/^(?:\/\*\*?|\/\/)\s*/, '') });
    start = -1;
  }
  return comments;
}
