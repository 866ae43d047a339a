/* default_model.c - the built-in model's file, put into the library as it is */

__asm__(".section .rodata\n"
        ".balign 64\n"
        ".globl shoal__default_model\n"
        ".globl shoal__default_model_end\n"
        ".hidden shoal__default_model\n"
        ".hidden shoal__default_model_end\n"
        "shoal__default_model:\n"
        ".incbin \"" SHOAL_MODEL_FILE "\"\n"
        "shoal__default_model_end:\n"
        ".byte 0\n"
        ".previous\n");
