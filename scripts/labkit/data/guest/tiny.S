/*
 * tiny: the smallest paravirtual guest, for tests of many guests or of their ends.
 *
 * It needs 4 MiB and no time: it asks Xen to wake it for nothing.  The first
 * letter of its command line (`extra`) chooses another life:
 *   poweroff, reboot, crash   end in this way at once
 *   spin                      burn a CPU
 *
 * Layouts and numbers are those of Xen's public headers (xen.h, sched.h, elfnote.h).
 */
#define SCHED_OP        29
#define SCHEDOP_SHUTDOWN 2
#define SCHEDOP_POLL     3
#define CMD_LINE        128             /* offset in start_info, x86_64 */

#define NOTE_ENTRY           1
#define NOTE_HYPERCALL_PAGE  2
#define NOTE_VIRT_BASE       3
#define NOTE_XEN_VERSION     5
#define NOTE_GUEST_OS        6
#define NOTE_LOADER          8
#define NOTE_PAE_MODE        9
#define NOTE_FEATURES       10

.macro note kind:req, directive:req, value:vararg
        .pushsection .note.Xen, "a", @note
        .balign 4
        .long 2f - 1f, 4f - 3f, \kind
1:      .asciz "Xen"
2:      .balign 4
3:      \directive \value
4:      .balign 4
        .popsection
.endm

        note NOTE_GUEST_OS, .asciz, "tiny"
        note NOTE_LOADER, .asciz, "generic"
        note NOTE_XEN_VERSION, .asciz, "xen-3.0"
        note NOTE_PAE_MODE, .asciz, "yes"
        note NOTE_FEATURES, .asciz, "!writable_page_tables|pae_pgdir_above_4gb"
        note NOTE_VIRT_BASE, .quad, 0
        note NOTE_ENTRY, .quad, _start
        note NOTE_HYPERCALL_PAGE, .quad, hypercall_page

        .text
        .globl _start
_start:                                 /* %rsi: start_info; %rsp: a stack from the builder */
        cld
        movzbl  CMD_LINE(%rsi), %eax
        xorl    %ebx, %ebx              /* reason: poweroff */
        cmpb    $'p', %al
        je      end
        incl    %ebx                    /* reboot */
        cmpb    $'r', %al
        je      end
        movl    $3, %ebx                /* crash */
        cmpb    $'c', %al
        je      end
        cmpb    $'s', %al
        je      spin
idle:                                   /* no port, no timeout: until the end of days */
        movl    $SCHEDOP_POLL, %edi
        leaq    poll(%rip), %rsi
        call    hypercall_page + SCHED_OP * 32
        jmp     idle
spin:
        pause
        jmp     spin
end:
        movl    %ebx, reason(%rip)
        movl    $SCHEDOP_SHUTDOWN, %edi
        leaq    reason(%rip), %rsi
        call    hypercall_page + SCHED_OP * 32
        jmp     idle

        .balign 4096
hypercall_page:
        .skip   4096

        .data
        .balign 8
poll:   .quad   0                       /* ports */
        .long   0, 0                    /* how many; padding */
        .quad   0                       /* timeout */
reason: .long   0
