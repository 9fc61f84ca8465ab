;; What blocks cost most, on one memory: Snappy (decode, compress) between addresses in it, XXH64 over it, and the lookup of a
;; key in a block as it is on disk, which takes all of its steps in one call.
;;
;; Copies are made in steps of 16 or 64 bytes, however few are wanted: a loop that ends after one round or three is one that
;; processors guess wrong. They may read and write up to 64 bytes past an end; callers leave that much room behind every buffer.
;; Nothing in a stream is trusted: each element is checked against both ends before it is carried out.
(module
  (memory (export "memory") 1)

  ;; decode(in, inEnd, out, outEnd) -> where the output ends, or 0 when the stream is not one
  (func $decode (export "decode") (param $in i32) (param $inEnd i32) (param $out i32) (param $outEnd i32) (result i32)
    (local $start i32) (local $tag i32) (local $type i32) (local $len i32) (local $off i32) (local $from i32) (local $stop i32) (local $run v128)
    (local.set $start (local.get $out))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $in) (local.get $inEnd)))
        (local.set $tag (i32.load8_u (local.get $in)))
        (local.set $in (i32.add (local.get $in) (i32.const 1)))
        (local.set $type (i32.and (local.get $tag) (i32.const 3)))
        (local.set $len (i32.add (i32.shr_u (local.get $tag) (i32.const 2)) (i32.const 1)))
        (if (i32.eqz (local.get $type))
          (then
            ;; literal; lengths above 60 stand in 1 to 4 bytes behind the tag
            (if (i32.gt_u (local.get $len) (i32.const 60))
              (then
                (local.set $off (i32.sub (local.get $len) (i32.const 60)))
                (if (i32.gt_u (local.get $off) (i32.sub (local.get $inEnd) (local.get $in))) (then (return (i32.const 0))))
                (local.set $len (i32.load (local.get $in)))
                (if (i32.lt_u (local.get $off) (i32.const 4))
                  (then (local.set $len (i32.and (local.get $len)
                    (i32.sub (i32.shl (i32.const 1) (i32.shl (local.get $off) (i32.const 3))) (i32.const 1))))))
                ;; a length of 2^32 would wrap to 0
                (if (i32.eq (local.get $len) (i32.const -1)) (then (return (i32.const 0))))
                (local.set $len (i32.add (local.get $len) (i32.const 1)))
                (local.set $in (i32.add (local.get $in) (local.get $off)))))
            (if (i32.gt_u (local.get $len) (i32.sub (local.get $inEnd) (local.get $in))) (then (return (i32.const 0))))
            (if (i32.gt_u (local.get $len) (i32.sub (local.get $outEnd) (local.get $out))) (then (return (i32.const 0))))
            (v128.store align=1 (local.get $out) (v128.load align=1 (local.get $in)))
            (if (i32.gt_u (local.get $len) (i32.const 16))
              (then
                (v128.store offset=16 align=1 (local.get $out) (v128.load offset=16 align=1 (local.get $in)))
                (v128.store offset=32 align=1 (local.get $out) (v128.load offset=32 align=1 (local.get $in)))
                (v128.store offset=48 align=1 (local.get $out) (v128.load offset=48 align=1 (local.get $in)))
                (if (i32.gt_u (local.get $len) (i32.const 64))
                  (then
                    (local.set $from (i32.add (local.get $in) (i32.const 64)))
                    (local.set $off (i32.add (local.get $out) (i32.const 64)))
                    (local.set $stop (i32.add (local.get $out) (local.get $len)))
                    (loop $wide
                      (v128.store align=1 (local.get $off) (v128.load align=1 (local.get $from)))
                      (local.set $off (i32.add (local.get $off) (i32.const 16)))
                      (local.set $from (i32.add (local.get $from) (i32.const 16)))
                      (br_if $wide (i32.lt_u (local.get $off) (local.get $stop))))))))
            (local.set $in (i32.add (local.get $in) (local.get $len)))
            (local.set $out (i32.add (local.get $out) (local.get $len)))
            (br $next)))
        ;; copy
        (if (i32.eq (local.get $type) (i32.const 1))
          (then
            (if (i32.ge_u (local.get $in) (local.get $inEnd)) (then (return (i32.const 0))))
            (local.set $len (i32.add (i32.and (i32.shr_u (local.get $tag) (i32.const 2)) (i32.const 7)) (i32.const 4)))
            (local.set $off (i32.or
              (i32.shl (i32.shr_u (local.get $tag) (i32.const 5)) (i32.const 8))
              (i32.load8_u (local.get $in))))
            (local.set $in (i32.add (local.get $in) (i32.const 1))))
          (else
            (if (i32.eq (local.get $type) (i32.const 2))
              (then
                (if (i32.lt_u (i32.sub (local.get $inEnd) (local.get $in)) (i32.const 2)) (then (return (i32.const 0))))
                (local.set $off (i32.load16_u align=1 (local.get $in)))
                (local.set $in (i32.add (local.get $in) (i32.const 2))))
              (else
                (if (i32.lt_u (i32.sub (local.get $inEnd) (local.get $in)) (i32.const 4)) (then (return (i32.const 0))))
                (local.set $off (i32.load align=1 (local.get $in)))
                (local.set $in (i32.add (local.get $in) (i32.const 4)))))))
        ;; offset 0 wraps to the largest unsigned number and fails, too
        (if (i32.ge_u (i32.sub (local.get $off) (i32.const 1)) (i32.sub (local.get $out) (local.get $start))) (then (return (i32.const 0))))
        (if (i32.gt_u (local.get $len) (i32.sub (local.get $outEnd) (local.get $out))) (then (return (i32.const 0))))
        (local.set $from (i32.sub (local.get $out) (local.get $off)))
        (local.set $stop (i32.add (local.get $out) (local.get $len)))
        (if (i32.ge_u (local.get $off) (i32.const 16))
          (then
            (v128.store align=1 (local.get $out) (v128.load align=1 (local.get $from)))
            (if (i32.gt_u (local.get $len) (i32.const 16))
              (then
                (v128.store offset=16 align=1 (local.get $out) (v128.load offset=16 align=1 (local.get $from)))
                (v128.store offset=32 align=1 (local.get $out) (v128.load offset=32 align=1 (local.get $from)))
                (v128.store offset=48 align=1 (local.get $out) (v128.load offset=48 align=1 (local.get $from))))))
          (else
            ;; the copy reads what it writes: a short pattern, again and again
            (if (i32.eq (local.get $off) (i32.const 1))
              (then
                (local.set $run (v128.load8_splat (local.get $from)))
                (loop $wide
                  (v128.store align=1 (local.get $out) (local.get $run))
                  (local.set $out (i32.add (local.get $out) (i32.const 16)))
                  (br_if $wide (i32.lt_u (local.get $out) (local.get $stop)))))
              (else
                (block $filled
                  ;; of 16 bytes read at `from` the first `off` are right, and make twice as many for the next time
                  (loop $double
                    (v128.store align=1 (local.get $out) (v128.load align=1 (local.get $from)))
                    (local.set $out (i32.add (local.get $out) (local.get $off)))
                    (br_if $filled (i32.ge_u (local.get $out) (local.get $stop)))
                    (local.set $off (i32.shl (local.get $off) (i32.const 1)))
                    (br_if $double (i32.lt_u (local.get $off) (i32.const 16))))
                  (loop $wide
                    (v128.store align=1 (local.get $out) (v128.load align=1 (local.get $from)))
                    (local.set $out (i32.add (local.get $out) (i32.const 16)))
                    (local.set $from (i32.add (local.get $from) (i32.const 16)))
                    (br_if $wide (i32.lt_u (local.get $out) (local.get $stop)))))))))
        (local.set $out (local.get $stop))
        (br $next)))
    (local.get $out))

  ;; literal(in, length, out) -> out behind the literal
  (func $literal (param $in i32) (param $len i32) (param $out i32) (result i32)
    (local $n i32) (local $stop i32)
    (local.set $n (i32.sub (local.get $len) (i32.const 1)))
    (if (i32.lt_u (local.get $n) (i32.const 60))
      (then
        (i32.store8 (local.get $out) (i32.shl (local.get $n) (i32.const 2)))
        (local.set $out (i32.add (local.get $out) (i32.const 1))))
      (else
        (if (i32.lt_u (local.get $n) (i32.const 256))
          (then
            (i32.store8 (local.get $out) (i32.const 240))
            (i32.store8 offset=1 (local.get $out) (local.get $n))
            (local.set $out (i32.add (local.get $out) (i32.const 2))))
          (else
            (i32.store8 (local.get $out) (i32.const 244))
            (i32.store16 offset=1 align=1 (local.get $out) (local.get $n))
            (local.set $out (i32.add (local.get $out) (i32.const 3)))))))
    (local.set $stop (i32.add (local.get $out) (local.get $len)))
    (loop $wide
      (v128.store align=1 (local.get $out) (v128.load align=1 (local.get $in)))
      (local.set $out (i32.add (local.get $out) (i32.const 16)))
      (local.set $in (i32.add (local.get $in) (i32.const 16)))
      (br_if $wide (i32.lt_u (local.get $out) (local.get $stop))))
    (local.get $stop))

  ;; copy(offset, length, out) -> out behind the copy elements
  (func $copy (param $off i32) (param $len i32) (param $out i32) (result i32)
    (local $part i32)
    (block $short
      (loop $long
        (br_if $short (i32.le_u (local.get $len) (i32.const 64)))
        ;; what is left must be a valid copy, which has at least 4 bytes
        (local.set $part (select (i32.const 64) (i32.const 60) (i32.ge_u (local.get $len) (i32.const 68))))
        (i32.store8 (local.get $out) (i32.or (i32.shl (i32.sub (local.get $part) (i32.const 1)) (i32.const 2)) (i32.const 2)))
        (i32.store16 offset=1 align=1 (local.get $out) (local.get $off))
        (local.set $out (i32.add (local.get $out) (i32.const 3)))
        (local.set $len (i32.sub (local.get $len) (local.get $part)))
        (br $long)))
    (if (i32.or (i32.ge_u (local.get $len) (i32.const 12)) (i32.ge_u (local.get $off) (i32.const 2048)))
      (then
        (i32.store8 (local.get $out) (i32.or (i32.shl (i32.sub (local.get $len) (i32.const 1)) (i32.const 2)) (i32.const 2)))
        (i32.store16 offset=1 align=1 (local.get $out) (local.get $off))
        (return (i32.add (local.get $out) (i32.const 3)))))
    (i32.store8 (local.get $out)
      (i32.or (i32.or (i32.shl (i32.shr_u (local.get $off) (i32.const 8)) (i32.const 5))
                      (i32.shl (i32.sub (local.get $len) (i32.const 4)) (i32.const 2)))
              (i32.const 1)))
    (i32.store8 offset=1 (local.get $out) (local.get $off))
    (i32.add (local.get $out) (i32.const 2)))

  ;; compress(in, inEnd, out, table, shift) -> where the elements end. At most 64 KiB; `table` is 2^(32 - shift) u16, zeroed
  (func (export "compress") (param $in i32) (param $inEnd i32) (param $out i32) (param $table i32) (param $shift i32) (result i32)
    (local $at i32) (local $next i32) (local $limit i32) (local $skip i32) (local $word i32) (local $slot i32) (local $cand i32) (local $len i32)
    (local $diff i64)
    (local.set $next (local.get $in))
    (local.set $at (i32.add (local.get $in) (i32.const 1)))
    (local.set $limit (i32.sub (local.get $inEnd) (i32.const 15)))
    (local.set $skip (i32.const 32))
    (block $done
      (br_if $done (i32.lt_u (i32.sub (local.get $inEnd) (local.get $in)) (i32.const 16)))
      (loop $scan
        (br_if $done (i32.ge_u (local.get $at) (local.get $limit)))
        (local.set $word (i32.load align=1 (local.get $at)))
        (local.set $slot (i32.add (local.get $table)
          (i32.shl (i32.shr_u (i32.mul (local.get $word) (i32.const 0x1e35a7bd)) (local.get $shift)) (i32.const 1))))
        (local.set $cand (i32.add (local.get $in) (i32.load16_u (local.get $slot))))
        (i32.store16 (local.get $slot) (i32.sub (local.get $at) (local.get $in)))
        (if (i32.ne (i32.load align=1 (local.get $cand)) (local.get $word))
          (then
            ;; no match here: look at fewer and fewer places, as this part may not compress at all
            (local.set $at (i32.add (local.get $at) (i32.shr_u (local.get $skip) (i32.const 5))))
            (local.set $skip (i32.add (local.get $skip) (i32.const 1)))
            (br $scan)))
        (if (i32.lt_u (local.get $next) (local.get $at))
          (then (local.set $out (call $literal (local.get $next) (i32.sub (local.get $at) (local.get $next)) (local.get $out)))))
        (local.set $len (i32.const 4))
        (block $matched
          (loop $extend
            (br_if $matched (i32.gt_u (i32.add (i32.add (local.get $at) (local.get $len)) (i32.const 8)) (local.get $inEnd)))
            (local.set $diff (i64.xor
              (i64.load align=1 (i32.add (local.get $cand) (local.get $len)))
              (i64.load align=1 (i32.add (local.get $at) (local.get $len)))))
            (if (i64.ne (local.get $diff) (i64.const 0))
              (then
                (local.set $len (i32.add (local.get $len) (i32.wrap_i64 (i64.shr_u (i64.ctz (local.get $diff)) (i64.const 3)))))
                (br $matched)))
            (local.set $len (i32.add (local.get $len) (i32.const 8)))
            (br $extend)))
        (local.set $out (call $copy (i32.sub (local.get $at) (local.get $cand)) (local.get $len) (local.get $out)))
        (local.set $at (i32.add (local.get $at) (local.get $len)))
        (local.set $next (local.get $at))
        (local.set $skip (i32.const 32))
        (br_if $done (i32.ge_u (local.get $at) (local.get $limit)))
        (local.set $word (i32.load align=1 (i32.sub (local.get $at) (i32.const 1))))
        (i32.store16
          (i32.add (local.get $table) (i32.shl (i32.shr_u (i32.mul (local.get $word) (i32.const 0x1e35a7bd)) (local.get $shift)) (i32.const 1)))
          (i32.sub (i32.sub (local.get $at) (i32.const 1)) (local.get $in)))
        (br $scan)))
    (if (i32.lt_u (local.get $next) (local.get $inEnd))
      (then (local.set $out (call $literal (local.get $next) (i32.sub (local.get $inEnd) (local.get $next)) (local.get $out)))))
    (local.get $out))

  ;; XXH64 (Collet, "xxHash fast digest algorithm", version 0.1.1), in parts: begin, stripes in multiples of 32 bytes, end
  (global $v1 (mut i64) (i64.const 0))
  (global $v2 (mut i64) (i64.const 0))
  (global $v3 (mut i64) (i64.const 0))
  (global $v4 (mut i64) (i64.const 0))
  (global $seed (mut i64) (i64.const 0))

  (func $round (param $lane i64) (param $word i64) (result i64)
    (i64.mul
      (i64.rotl (i64.add (local.get $lane) (i64.mul (local.get $word) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31))
      (i64.const 0x9E3779B185EBCA87)))

  (func $merge (param $hash i64) (param $lane i64) (result i64)
    (i64.add
      (i64.mul (i64.xor (local.get $hash) (call $round (i64.const 0) (local.get $lane))) (i64.const 0x9E3779B185EBCA87))
      (i64.const 0x85EBCA77C2B2AE63)))

  (func $hashBegin (export "hashBegin") (param $s i32)
    (global.set $seed (i64.extend_i32_u (local.get $s)))
    (global.set $v1 (i64.add (global.get $seed) (i64.const 0x60EA27EEADC0B5D6)))
    (global.set $v2 (i64.add (global.get $seed) (i64.const 0xC2B2AE3D27D4EB4F)))
    (global.set $v3 (global.get $seed))
    (global.set $v4 (i64.sub (global.get $seed) (i64.const 0x9E3779B185EBCA87))))

  ;; hashStripes(in, end): a multiple of 32 bytes. $round is written out: engines do not inline calls here
  (func $hashStripes (export "hashStripes") (param $in i32) (param $end i32)
    (local $a i64) (local $b i64) (local $c i64) (local $d i64)
    (local.set $a (global.get $v1))
    (local.set $b (global.get $v2))
    (local.set $c (global.get $v3))
    (local.set $d (global.get $v4))
    (block $done
      (loop $stripe
        (br_if $done (i32.ge_u (local.get $in) (local.get $end)))
        (local.set $a (i64.mul
          (i64.rotl (i64.add (local.get $a) (i64.mul (i64.load align=1 (local.get $in)) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31))
          (i64.const 0x9E3779B185EBCA87)))
        (local.set $b (i64.mul
          (i64.rotl (i64.add (local.get $b) (i64.mul (i64.load offset=8 align=1 (local.get $in)) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31))
          (i64.const 0x9E3779B185EBCA87)))
        (local.set $c (i64.mul
          (i64.rotl (i64.add (local.get $c) (i64.mul (i64.load offset=16 align=1 (local.get $in)) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31))
          (i64.const 0x9E3779B185EBCA87)))
        (local.set $d (i64.mul
          (i64.rotl (i64.add (local.get $d) (i64.mul (i64.load offset=24 align=1 (local.get $in)) (i64.const 0xC2B2AE3D27D4EB4F))) (i64.const 31))
          (i64.const 0x9E3779B185EBCA87)))
        (local.set $in (i32.add (local.get $in) (i32.const 32)))
        (br $stripe)))
    (global.set $v1 (local.get $a))
    (global.set $v2 (local.get $b))
    (global.set $v3 (local.get $c))
    (global.set $v4 (local.get $d)))

  ;; hashEnd(in, end, total) -> the low half of the hash; less than 32 bytes are left of `total` in all
  (func $hashEnd (export "hashEnd") (param $in i32) (param $end i32) (param $total i32) (result i32)
    (local $hash i64)
    (if (i32.ge_u (local.get $total) (i32.const 32))
      (then
        (local.set $hash (i64.add
          (i64.add (i64.rotl (global.get $v1) (i64.const 1)) (i64.rotl (global.get $v2) (i64.const 7)))
          (i64.add (i64.rotl (global.get $v3) (i64.const 12)) (i64.rotl (global.get $v4) (i64.const 18)))))
        (local.set $hash (call $merge (local.get $hash) (global.get $v1)))
        (local.set $hash (call $merge (local.get $hash) (global.get $v2)))
        (local.set $hash (call $merge (local.get $hash) (global.get $v3)))
        (local.set $hash (call $merge (local.get $hash) (global.get $v4))))
      (else (local.set $hash (i64.add (global.get $seed) (i64.const 0x27D4EB2F165667C5)))))
    (local.set $hash (i64.add (local.get $hash) (i64.extend_i32_u (local.get $total))))
    (block $words
      (loop $word
        (br_if $words (i32.lt_u (i32.sub (local.get $end) (local.get $in)) (i32.const 8)))
        (local.set $hash (i64.xor (local.get $hash) (call $round (i64.const 0) (i64.load align=1 (local.get $in)))))
        (local.set $hash (i64.add
          (i64.mul (i64.rotl (local.get $hash) (i64.const 27)) (i64.const 0x9E3779B185EBCA87))
          (i64.const 0x85EBCA77C2B2AE63)))
        (local.set $in (i32.add (local.get $in) (i32.const 8)))
        (br $word)))
    (if (i32.ge_u (i32.sub (local.get $end) (local.get $in)) (i32.const 4))
      (then
        (local.set $hash (i64.xor (local.get $hash)
          (i64.mul (i64.load32_u align=1 (local.get $in)) (i64.const 0x9E3779B185EBCA87))))
        (local.set $hash (i64.add
          (i64.mul (i64.rotl (local.get $hash) (i64.const 23)) (i64.const 0xC2B2AE3D27D4EB4F))
          (i64.const 0x165667B19E3779F9)))
        (local.set $in (i32.add (local.get $in) (i32.const 4)))))
    (block $bytes
      (loop $byte
        (br_if $bytes (i32.ge_u (local.get $in) (local.get $end)))
        (local.set $hash (i64.xor (local.get $hash)
          (i64.mul (i64.load8_u (local.get $in)) (i64.const 0x27D4EB2F165667C5))))
        (local.set $hash (i64.mul (i64.rotl (local.get $hash) (i64.const 11)) (i64.const 0x9E3779B185EBCA87)))
        (local.set $in (i32.add (local.get $in) (i32.const 1)))
        (br $byte)))
    (local.set $hash (i64.mul (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 33))) (i64.const 0xC2B2AE3D27D4EB4F)))
    (local.set $hash (i64.mul (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 29))) (i64.const 0x165667B19E3779F9)))
    (i32.wrap_i64 (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 32)))))

  ;; Looking up a key: as findInBlock in block.ts, which tells how; the layouts are those of format.ts. What is not as it
  ;; should be is not explained here: the status 3 sends the caller the other way, which does.

  ;; the entry read last: its diff lies in [diff, value), its value in [value, valueEnd)
  (global $overlap (mut i32) (i32.const 0))
  (global $diff (mut i32) (i32.const 0))
  (global $value (mut i32) (i32.const 0))
  (global $valueEnd (mut i32) (i32.const 0))
  (global $kind (mut i32) (i32.const 0))
  (global $delta (mut i64) (i64.const 0))
  ;; the largest that there is: sequences end at 2^53 - 1
  (global $maxDelta (mut i64) (i64.const 0))
  ;; where the next varint is
  (global $at (mut i32) (i32.const 0))

  ;; varint(end) at $at, which moves behind it -> the number; -1: it is cut off, or above 2^53 - 1
  (func $varint (param $end i32) (result i64)
    (local $byte i64) (local $shift i64) (local $number i64)
    (loop $next
      (if (i32.ge_u (global.get $at) (local.get $end)) (then (return (i64.const -1))))
      (local.set $byte (i64.load8_u (global.get $at)))
      (global.set $at (i32.add (global.get $at) (i32.const 1)))
      (local.set $number (i64.or (local.get $number)
        (i64.shl (i64.and (local.get $byte) (i64.const 127)) (local.get $shift))))
      (if (i64.lt_u (local.get $byte) (i64.const 128))
        (then (return (select (local.get $number) (i64.const -1) (i64.le_u (local.get $number) (i64.const 0x1fffffffffffff))))))
      (local.set $shift (i64.add (local.get $shift) (i64.const 7)))
      (br_if $next (i64.lt_u (local.get $shift) (i64.const 56))))
    (i64.const -1))

  ;; entry(at, end, length of the key before) -> 1, and the globals tell about the entry; 0: there is none
  (func $entry (param $from i32) (param $end i32) (param $before i32) (result i32)
    (local $overlap i32) (local $diffLength i32) (local $valueLength i32) (local $delta i64) (local $wide i64)
    (local.set $overlap (i32.load8_u (local.get $from)))
    (local.set $diffLength (i32.load8_u offset=1 (local.get $from)))
    (local.set $valueLength (i32.load8_u offset=2 (local.get $from)))
    (if (i32.ge_u (i32.or (i32.or (local.get $overlap) (local.get $diffLength)) (local.get $valueLength)) (i32.const 128))
      (then
        (global.set $at (local.get $from))
        (local.set $wide (call $varint (local.get $end)))
        (if (i64.gt_u (local.get $wide) (i64.const 0x7fffffff)) (then (return (i32.const 0))))
        (local.set $overlap (i32.wrap_i64 (local.get $wide)))
        (local.set $wide (call $varint (local.get $end)))
        (if (i64.gt_u (local.get $wide) (i64.const 0x7fffffff)) (then (return (i32.const 0))))
        (local.set $diffLength (i32.wrap_i64 (local.get $wide)))
        (local.set $wide (call $varint (local.get $end)))
        (if (i64.gt_u (local.get $wide) (i64.const 0x7fffffff)) (then (return (i32.const 0))))
        (local.set $valueLength (i32.wrap_i64 (local.get $wide)))
        (local.set $from (global.get $at)))
      (else (local.set $from (i32.add (local.get $from) (i32.const 3)))))
    (global.set $kind (i32.load8_u (local.get $from)))
    (local.set $delta (i64.load8_u offset=1 (local.get $from)))
    (local.set $from (i32.add (local.get $from) (i32.const 2)))
    (if (i64.ge_u (local.get $delta) (i64.const 128))
      (then
        (global.set $at (i32.sub (local.get $from) (i32.const 1)))
        (local.set $delta (call $varint (local.get $end)))
        (if (i64.eq (local.get $delta) (i64.const -1)) (then (return (i32.const 0))))
        (local.set $from (global.get $at))))
    (if (i64.gt_s (local.get $delta) (global.get $maxDelta)) (then (return (i32.const 0))))
    (if (i32.gt_u (local.get $from) (local.get $end)) (then (return (i32.const 0))))
    (if (i32.gt_u (local.get $diffLength) (i32.sub (local.get $end) (local.get $from))) (then (return (i32.const 0))))
    (global.set $diff (local.get $from))
    (local.set $from (i32.add (local.get $from) (local.get $diffLength)))
    (if (i32.gt_u (local.get $valueLength) (i32.sub (local.get $end) (local.get $from))) (then (return (i32.const 0))))
    (global.set $value (local.get $from))
    (global.set $valueEnd (i32.add (local.get $from) (local.get $valueLength)))
    (global.set $overlap (local.get $overlap))
    (global.set $delta (local.get $delta))
    (i32.and
      (i32.and (i32.le_u (global.get $kind) (i32.const 1)) (i32.le_u (local.get $overlap) (local.get $before)))
      (i32.le_u (i32.add (local.get $overlap) (local.get $diffLength)) (i32.const 65536))))

  ;; how many of the first `limit` bytes at a and b are equal before the first that is not
  (func $shared (param $a i32) (param $b i32) (param $limit i32) (result i32)
    (local $n i32) (local $difference i64)
    (block $whole
      (loop $word
        (br_if $whole (i32.ge_u (local.get $n) (local.get $limit)))
        (local.set $difference (i64.xor
          (i64.load align=1 (i32.add (local.get $a) (local.get $n)))
          (i64.load align=1 (i32.add (local.get $b) (local.get $n)))))
        (if (i64.ne (local.get $difference) (i64.const 0))
          (then
            (local.set $n (i32.add (local.get $n) (i32.wrap_i64 (i64.shr_u (i64.ctz (local.get $difference)) (i64.const 3)))))
            (return (select (local.get $n) (local.get $limit) (i32.lt_u (local.get $n) (local.get $limit))))))
        (local.set $n (i32.add (local.get $n) (i32.const 8)))
        (br $word)))
    (local.get $limit))

  (func $min (param $a i32) (param $b i32) (result i32)
    (select (local.get $a) (local.get $b) (i32.lt_u (local.get $a) (local.get $b))))

  ;; Where restart `index` points to, for restarts that stand from `end` on; end: outside the entries
  (func $restart (param $start i32) (param $end i32) (param $index i32) (result i32)
    (local $offset i32)
    (local.set $offset (i32.load align=1 (i32.add (local.get $end) (i32.shl (local.get $index) (i32.const 2)))))
    (if (i32.ge_u (local.get $offset) (i32.sub (local.get $end) (local.get $start))) (then (return (local.get $end))))
    (i32.add (local.get $start) (local.get $offset)))

  ;; Where the entries end and the restarts begin, in the content [start, stop); 0: it is no block's
  (func $entriesEnd (param $start i32) (param $stop i32) (result i32)
    (local $count i32) (local $end i32)
    (if (i32.lt_u (i32.sub (local.get $stop) (local.get $start)) (i32.const 8)) (then (return (i32.const 0))))
    (local.set $count (i32.load align=1 (i32.sub (local.get $stop) (i32.const 4))))
    (if (i32.ge_u (i32.sub (local.get $count) (i32.const 1))
                  (i32.sub (i32.shr_u (i32.sub (local.get $stop) (local.get $start)) (i32.const 2)) (i32.const 1)))
      (then (return (i32.const 0))))
    (local.set $end (i32.sub (local.get $stop) (i32.shl (i32.add (local.get $count) (i32.const 1)) (i32.const 2))))
    (select (i32.const 0) (local.get $end) (i32.le_u (local.get $end) (local.get $start))))

  ;; find(content, contentEnd, key, keyLength, maxDelta) -> 0 absent, 1 here, 2 beyond, 3 look the other way
  (func $find (param $start i32) (param $stop i32) (param $key i32) (param $keyLength i32) (param $maxDelta i64) (result i32)
    (local $count i32) (local $end i32) (local $low i32) (local $high i32) (local $middle i32) (local $at i32)
    (local $length i32) (local $limit i32) (local $shared i32) (local $order i32) (local $next i32) (local $matched i32) (local $isEqual i32)
    (local.set $end (call $entriesEnd (local.get $start) (local.get $stop)))
    (if (i32.eqz (local.get $end)) (then (return (i32.const 3))))
    (local.set $count (i32.load align=1 (i32.sub (local.get $stop) (i32.const 4))))
    (if (i32.load align=1 (local.get $end)) (then (return (i32.const 3))))
    ;; the last restart before the key, or the first
    (local.set $high (i32.sub (local.get $count) (i32.const 1)))
    (block $settled
      (loop $halve
        (br_if $settled (i32.ge_u (local.get $low) (local.get $high)))
        (local.set $middle (i32.shr_u (i32.add (i32.add (local.get $low) (local.get $high)) (i32.const 1)) (i32.const 1)))
        (local.set $at (call $restart (local.get $start) (local.get $end) (local.get $middle)))
        (if (i32.eq (local.get $at) (local.get $end)) (then (return (i32.const 3))))
        (if (i32.eqz (call $entry (local.get $at) (local.get $end) (i32.const 0))) (then (return (i32.const 3))))
        (local.set $length (i32.sub (global.get $value) (global.get $diff)))
        (local.set $limit (call $min (local.get $length) (local.get $keyLength)))
        (local.set $shared (call $shared (global.get $diff) (local.get $key) (local.get $limit)))
        (local.set $order
          (if (result i32) (i32.eq (local.get $shared) (local.get $limit))
            (then (i32.sub (local.get $length) (local.get $keyLength)))
            (else (i32.sub
              (i32.load8_u (i32.add (global.get $diff) (local.get $shared)))
              (i32.load8_u (i32.add (local.get $key) (local.get $shared)))))))
        (if (i32.or (i32.lt_s (local.get $order) (i32.const 0))
                    (i32.and (i32.eqz (local.get $order)) (i64.ge_s (global.get $delta) (local.get $maxDelta))))
          (then (local.set $low (local.get $middle)))
          (else (local.set $high (i32.sub (local.get $middle) (i32.const 1)))))
        (br $halve)))
    (local.set $at (call $restart (local.get $start) (local.get $end) (local.get $low)))
    (if (i32.eq (local.get $at) (local.get $end)) (then (return (i32.const 3))))
    (local.set $next (local.get $at))
    (loop $walk
      (if (i32.ge_u (local.get $at) (local.get $next))
        (then
          ;; a restart, which says nothing about the entry before it
          (if (i32.ne (local.get $at) (local.get $next)) (then (return (i32.const 3))))
          (local.set $matched (i32.const 0))
          (local.set $length (i32.const 0))
          (local.set $low (i32.add (local.get $low) (i32.const 1)))
          (local.set $next (local.get $end))
          (if (i32.lt_u (local.get $low) (local.get $count))
            (then
              (local.set $next (call $restart (local.get $start) (local.get $end) (local.get $low)))
              (if (i32.eq (local.get $next) (local.get $end)) (then (return (i32.const 3))))))))
      (if (i32.eqz (call $entry (local.get $at) (local.get $end) (local.get $length))) (then (return (i32.const 3))))
      (local.set $limit (i32.sub (global.get $value) (global.get $diff)))
      (local.set $length (i32.add (global.get $overlap) (local.get $limit)))
      (if (i32.lt_u (global.get $overlap) (local.get $matched)) (then (return (i32.const 0))))
      (if (i32.eq (global.get $overlap) (local.get $matched))
        (then
          (local.set $limit (call $min (local.get $limit) (i32.sub (local.get $keyLength) (local.get $matched))))
          (local.set $matched (i32.add (local.get $matched)
            (call $shared (global.get $diff) (i32.add (local.get $key) (local.get $matched)) (local.get $limit))))
          (local.set $isEqual (i32.and
            (i32.eq (local.get $matched) (local.get $keyLength))
            (i32.eq (local.get $matched) (local.get $length))))
          (if (local.get $isEqual)
            (then
              (if (i64.le_s (global.get $delta) (local.get $maxDelta)) (then (return (i32.const 1)))))
            (else
              (if (i32.eq (local.get $matched) (local.get $keyLength)) (then (return (i32.const 0))))
              (if (i32.ne (local.get $matched) (local.get $length))
                (then
                  (if (i32.gt_u
                        (i32.load8_u (i32.add (global.get $diff) (i32.sub (local.get $matched) (global.get $overlap))))
                        (i32.load8_u (i32.add (local.get $key) (local.get $matched))))
                    (then (return (i32.const 0))))))))))
      (local.set $at (global.get $valueEnd))
      (br_if $walk (i32.lt_u (local.get $at) (local.get $end))))
    (select (i32.const 2) (i32.const 0) (local.get $isEqual)))

  ;; lookup(sealed, length, seed, out, outEnd, key, keyLength, maxDelta, largestDelta, result) -> as find, in the block that is
  ;; sealed there, whose deltas are none above the largest. The content goes to `out`. result: u32 content's end, where the value starts, where it ends, kind; f64 delta.
  (func (export "lookup") (param $in i32) (param $length i32) (param $seed i32) (param $out i32) (param $outEnd i32)
      (param $key i32) (param $keyLength i32) (param $maxDelta f64) (param $largest f64) (param $result i32) (result i32)
    (local $payload i32) (local $hashed i32) (local $stripes i32) (local $contentLength i32) (local $status i32)
    (if (i32.lt_u (local.get $length) (i32.const 10)) (then (return (i32.const 3))))
    (local.set $payload (i32.sub (local.get $length) (i32.const 9)))
    (local.set $hashed (i32.add (local.get $payload) (i32.const 5)))
    (local.set $stripes (i32.and (local.get $hashed) (i32.const -32)))
    (call $hashBegin (local.get $seed))
    (call $hashStripes (local.get $in) (i32.add (local.get $in) (local.get $stripes)))
    (if (i32.ne
          (call $hashEnd (i32.add (local.get $in) (local.get $stripes)) (i32.add (local.get $in) (local.get $hashed)) (local.get $hashed))
          (i32.load align=1 (i32.add (local.get $in) (local.get $hashed))))
      (then (return (i32.const 3))))
    ;; only Snappy
    (if (i32.ne (i32.load8_u offset=4 (i32.add (local.get $in) (local.get $payload))) (i32.const 1)) (then (return (i32.const 3))))
    (local.set $contentLength (i32.load align=1 (i32.add (local.get $in) (local.get $payload))))
    (if (i32.gt_u (local.get $contentLength) (i32.sub (local.get $outEnd) (local.get $out))) (then (return (i32.const 3))))
    (local.set $payload (i32.add (local.get $in) (local.get $payload)))
    (global.set $at (local.get $in))
    (if (i64.ne (call $varint (local.get $payload)) (i64.extend_i32_u (local.get $contentLength))) (then (return (i32.const 3))))
    (local.set $outEnd (i32.add (local.get $out) (local.get $contentLength)))
    (if (i32.ne (call $decode (global.get $at) (local.get $payload) (local.get $out) (local.get $outEnd)) (local.get $outEnd))
      (then (return (i32.const 3))))
    (global.set $maxDelta (i64.trunc_sat_f64_s (local.get $largest)))
    (local.set $status (call $find (local.get $out) (local.get $outEnd) (local.get $key) (local.get $keyLength)
      (i64.trunc_sat_f64_s (local.get $maxDelta))))
    (i32.store (local.get $result) (local.get $outEnd))
    (i32.store offset=4 (local.get $result) (global.get $value))
    (i32.store offset=8 (local.get $result) (global.get $valueEnd))
    (i32.store offset=12 (local.get $result) (global.get $kind))
    (f64.store offset=16 (local.get $result) (f64.convert_i64_u (global.get $delta)))
    (local.get $status))

  ;; the 4 bytes at `from` as one number that is ordered as they are; of those only `length` count, the others are 0
  (func $head (param $from i32) (param $length i32) (result i32)
    (local $word i32)
    (if (i32.le_s (local.get $length) (i32.const 0)) (then (return (i32.const 0))))
    (local.set $word (i32.load align=1 (local.get $from)))
    (local.set $word (i32.or
      (i32.and (i32.rotl (local.get $word) (i32.const 8)) (i32.const 0x00ff00ff))
      (i32.and (i32.rotr (local.get $word) (i32.const 8)) (i32.const 0xff00ff00))))
    (if (i32.lt_s (local.get $length) (i32.const 4))
      (then (return (i32.and (local.get $word)
        (i32.shl (i32.const -1) (i32.sub (i32.const 32) (i32.shl (local.get $length) (i32.const 3))))))))
    (local.get $word))

  ;; index(content, contentEnd, largestDelta, key, maxPrefix, out, outEnd) -> how many entries the content has, and $prefix is the
  ;; length of the prefix that they share, at most maxPrefix. To `out` go the prefix, the heads and the offsets, as kept-block.ts
  ;; has them. 0: the content does not decode, or there is no room. `key` is where keys are put together.
  (global $prefix (export "prefix") (mut i32) (i32.const 0))
  (func (export "index") (param $start i32) (param $stop i32) (param $largest f64) (param $key i32) (param $prefix i32)
      (param $out i32) (param $outEnd i32) (result i32)
    (local $end i32) (local $at i32) (local $count i32) (local $length i32) (local $diffLength i32) (local $first i32)
    (local $firstLength i32) (local $shared i32) (local $words i32) (local $offsets i32) (local $from i32) (local $to i32) (local $copied i32)
    (local.set $end (call $entriesEnd (local.get $start) (local.get $stop)))
    (if (i32.eqz (local.get $end)) (then (return (i32.const 0))))
    (global.set $maxDelta (i64.trunc_sat_f64_s (local.get $largest)))
    ;; once through: do they all decode, and what does the last key share with the first?
    (local.set $at (local.get $start))
    (loop $each
      (if (i32.eqz (call $entry (local.get $at) (local.get $end) (local.get $length))) (then (return (i32.const 0))))
      (local.set $diffLength (i32.sub (global.get $value) (global.get $diff)))
      (if (i32.eqz (local.get $count))
        (then
          (local.set $first (global.get $diff))
          (local.set $firstLength (local.get $diffLength))
          (local.set $shared (local.get $diffLength)))
        (else
          ;; beyond that the key before is another than the first, and so is this one
          (if (i32.le_u (global.get $overlap) (local.get $shared))
            (then (local.set $shared (i32.add (global.get $overlap) (call $shared
              (global.get $diff)
              (i32.add (local.get $first) (global.get $overlap))
              (call $min (local.get $diffLength) (i32.sub (local.get $firstLength) (global.get $overlap))))))))))
      (local.set $length (i32.add (global.get $overlap) (local.get $diffLength)))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (local.set $at (global.get $valueEnd))
      (br_if $each (i32.lt_u (local.get $at) (local.get $end))))
    (local.set $prefix (call $min (local.get $shared) (local.get $prefix)))
    (global.set $prefix (local.get $prefix))
    (local.set $words (i32.shr_u (i32.add (local.get $prefix) (i32.const 3)) (i32.const 2)))
    (if (i32.gt_u
          (i32.shl (i32.add (local.get $words) (i32.shl (local.get $count) (i32.const 1))) (i32.const 2))
          (i32.sub (local.get $outEnd) (local.get $out)))
      (then (return (i32.const 0))))
    (block $prefixed
      (loop $word
        (br_if $prefixed (i32.ge_u (local.get $copied) (local.get $prefix)))
        (i32.store (local.get $out)
          (call $head (i32.add (local.get $first) (local.get $copied)) (i32.sub (local.get $prefix) (local.get $copied))))
        (local.set $out (i32.add (local.get $out) (i32.const 4)))
        (local.set $copied (i32.add (local.get $copied) (i32.const 4)))
        (br $word)))
    ;; and again: heads and offsets
    (local.set $offsets (i32.add (local.get $out) (i32.shl (local.get $count) (i32.const 2))))
    (local.set $at (local.get $start))
    (loop $each
      (drop (call $entry (local.get $at) (local.get $end) (i32.const 65536)))
      (local.set $diffLength (i32.sub (global.get $value) (global.get $diff)))
      ;; of the key only the prefix and the head behind it are needed
      (local.set $from (global.get $diff))
      (local.set $to (i32.add (local.get $key) (global.get $overlap)))
      (local.set $copied (call $min
        (i32.add (local.get $to) (local.get $diffLength))
        (i32.add (local.get $key) (i32.add (local.get $prefix) (i32.const 4)))))
      (block $whole
        (loop $wide
          (br_if $whole (i32.ge_u (local.get $to) (local.get $copied)))
          (v128.store align=1 (local.get $to) (v128.load align=1 (local.get $from)))
          (local.set $to (i32.add (local.get $to) (i32.const 16)))
          (local.set $from (i32.add (local.get $from) (i32.const 16)))
          (br $wide)))
      (i32.store (local.get $out) (call $head
        (i32.add (local.get $key) (local.get $prefix))
        (i32.sub (i32.add (global.get $overlap) (local.get $diffLength)) (local.get $prefix))))
      (i32.store (local.get $offsets) (i32.sub (local.get $at) (local.get $start)))
      (local.set $out (i32.add (local.get $out) (i32.const 4)))
      (local.set $offsets (i32.add (local.get $offsets) (i32.const 4)))
      (local.set $at (global.get $valueEnd))
      (br_if $each (i32.lt_u (local.get $at) (local.get $end))))
    (local.get $count))
)
